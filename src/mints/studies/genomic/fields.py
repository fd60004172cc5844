"""Configuration fields that several steps read."""

MODEL_FIELDS = ("model", "model_files", "model_revision", "family", "device", "precision")
"""Fields that decide what the model computes."""

PROBE_FIELDS = (
    "tasks",
    "probe_penalties",
    "probe_layer",
    "probe_bootstrap_samples",
    "probe_ci_level",
    "seed",
)
"""Fields that decide how a probe is fitted and judged."""

VARIANTS = ("residual_mean", "random_initialisation", "shuffled")
"""Cached vectors: of the model itself; of the same shape with random weights; of the model on shuffled sequences."""

TOKENIZER_FILES = {
    "dnabert2": ("tokenizer.json", "tokenizer_config.json"),
    "nucleotide_transformer": ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"),
}
"""Files of a pretrained checkpoint beside its weights, by family."""
