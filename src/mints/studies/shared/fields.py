"""Configuration fields that steps of several studies read, and artifacts that they make."""

from typing import Any

from mints.studies.shared.dictionaries import dictionary_files, site_folder

MODEL_FIELDS = ("model", "model_files", "model_revision", "family", "device", "precision")
"""Fields that decide what the model computes."""

DICTIONARY_FIELDS = (
    *MODEL_FIELDS,
    "model_name",
    "features.sites",
    "features.kind",
    "features.k",
    "features.expansion",
    "features.seeds",
    "features.corpus",
    "features.window",
    "features.ready",
    "features.training_tokens",
    "features.batch",
    "features.learning_rate",
    "features.seed",
    "probe_bootstrap_samples",
    "probe_ci_level",
    "seed",
)
"""Fields that decide what the dictionaries are, beside those that say which sequences there are."""

DICTIONARY_ARTIFACTS = (
    *dictionary_files(site_folder("{site}")),
    *dictionary_files(site_folder("{site}", untrained=True)),
    *dictionary_files(site_folder("{site}") + "/{dictionary}"),
    "tables/sparse_autoencoders.csv",
    "tables/sparse_autoencoder_training.csv",
    "tables/sparse_autoencoder_seeds.csv",
    "figures/sparse_autoencoder_sweep.png",
    "figures/sparse_autoencoder_training.png",
)
"""What `run_sparse_autoencoders` leaves behind."""

CONCEPT_FIELDS = (
    *MODEL_FIELDS,
    "features.sites",
    "features.annotations",
    "features.concept_windows",
    "features.concept_permutations",
    "probe_bootstrap_samples",
    "probe_ci_level",
    "seed",
)
"""Fields that decide how concepts are scored, beside those that say which sequences there are."""

CONCEPT_ARTIFACTS = (
    "concepts/{site}_pairs.npz",
    "tables/concept_scores.csv",
    "tables/concept_summary.csv",
    "tables/concept_baselines.csv",
    "figures/concept_scores.png",
)
"""What `run_concept_scoring` leaves behind."""

NAMING_LATENTS = ("tables/concept_scores.csv", "tables/latent_effects.csv", "tables/steering_latents.csv")
"""Tables whose latents the dashboards show."""

DASHBOARD_FIELDS = (
    *MODEL_FIELDS,
    "features.sites",
    "features.annotations",
    "features.concept_windows",
    "probe_bootstrap_samples",
    "probe_ci_level",
    "seed",
)
"""Fields that decide what the dashboards show, beside those that say which sequences there are."""

PLANTED_ARTIFACTS = (
    "tables/planted_circuit.csv",
    "tables/planted_circuit_detection.csv",
    "figures/planted_circuit.png",
)
"""What `save_planted` leaves behind."""

TOKENIZER_FILES = {
    "dnabert2": ("tokenizer.json", "tokenizer_config.json"),
    "nucleotide_transformer": ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"),
    "esm2": ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"),
}
"""Files of a pretrained checkpoint beside its weights, by family."""


def dashboard_file(site: str) -> str:
    """Artifact with what the latents of a site look like."""
    return f"latents/{site}.json"


def dictionaries_and_twins() -> list[str]:
    """Artifacts of the dictionaries that later steps use, and of those of the untrained model."""
    return [*dictionary_files(site_folder("{site}")), *dictionary_files(site_folder("{site}", untrained=True))]


def is_annotated(config: Any) -> bool:
    """Whether there is annotation that latents can be scored on."""
    return bool(config.features.sites) and bool(config.features.annotations)
