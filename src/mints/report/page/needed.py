"""What the page needs of each artifact: what lacks some of it was made by an older version, and is of no use."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Any

NEEDED = {
    "tables/basecaller_calibration.csv": "criterion strength planted detected rate low high",
    "tables/basecaller_calibration_nulls.csv": "null criterion tests positives rate upper",
    "tables/basecaller_groups.csv": "measure patch direction granularity layer head strata pairs difference low high q",
    "tables/basecaller_sensitivity.csv": "criterion statement",
    "tables/basecaller_strata.csv": "measure stratifier stratum group granularity layer pm pm_low pm_high n_pairs",
    "tables/basecaller_summary.csv": (
        "measure patch direction group granularity layer head pm_validation maximum_seed least_visible pm pm_low "
        "pm_high other_corrupted other_site unrelated restores passes"
    ),
    "tables/behaviour_probes.csv": (
        "behaviour scorer n_test auroc low high floor difference difference_low difference_high"
    ),
    "tables/beyond_composition.csv": "task difference difference_low difference_high",
    "tables/calibration_detection.csv": "criterion strength planted detected rate low high",
    "tables/calibration_false_positives.csv": "null criterion tests positives rate upper",
    "tables/calibration_sensitivity.csv": "criterion statement",
    "tables/circuit_masked_loss.csv": (
        "behaviour site latent loss delta_loss low high difference difference_low difference_high null q"
    ),
    "tables/circuit_overlap.csv": "site first second first_latents second_latents shared expected p",
    "tables/circuit_specificity.csv": "behaviour site latent weight low high q",
    "tables/circuit_summary.csv": (
        "layer head qk_spectral_norm qk_effective_rank qk_symmetry ov_spectral_norm ov_effective_rank copying_score "
        "qk_form"
    ),
    "tables/concept_baselines.csv": "concept baseline difference difference_low difference_high",
    "tables/concept_scores.csv": "site concept latent f1 null_p95 best_baseline verdict annotation f1_low f1_high",
    "tables/concept_summary.csv": "site concepts scored above_the_null above_every_baseline statement",
    "tables/corpus_audit_summary.json": "searched",
    "tables/counterfactual_yield.csv": "question set tried with_site accepted refused_no_site",
    "tables/cross_model_alignment_summary.csv": (
        "question model largest_r_low largest_r_high largest_rho largest_rho_low largest_rho_high"
    ),
    "tables/cross_model_checks.csv": "passes model check",
    "tables/cross_model_differences.csv": "task kind metric first second difference difference_low difference_high",
    "tables/cross_model_masked_token_loss.csv": (
        "model masking predictor bits_per_base bits_per_base_low bits_per_base_high"
    ),
    "tables/cross_model_probes.csv": (
        "task model auroc auroc_low auroc_high random_initialisation kmer_logistic kmer_boosted"
    ),
    "tables/distributed_feature_search.csv": "question stream r low high q_within_label units lead_low",
    "tables/dms_correlation.csv": (
        "protein target mutants score n spearman spearman_low spearman_high beyond_baseline beyond_baseline_low "
        "beyond_baseline_high"
    ),
    "tables/evidence.csv": (
        "question layer head r_low r_high aligned rho_low rho_high enriched pm_low pm_high restored r rho pm "
        "ceiling verdict"
    ),
    "tables/feature_circuit_curves.csv": (
        "measure errors nodes value low high random_circuits random_mean random_low random_high"
    ),
    "tables/feature_circuit_edges.csv": "kind source_site source target_site target weight",
    "tables/homopolymer_lengths.csv": "base length called count",
    "tables/integrated_gradients.csv": (
        "site name readout top_20 top_20_uniform top_20_random_gradient gini gini_uniform gini_random_gradient"
    ),
    "tables/latent_dms.csv": (
        "site protein readout quantity n spearman spearman_low spearman_high partial partial_low partial_high"
    ),
    "tables/latent_effects.csv": "site direction readout latent n_pairs change change_low change_high q",
    "tables/latent_sets.csv": (
        "site tokens direction readout ranking size change change_low change_high effect effect_low effect_high"
    ),
    "tables/linear_probe_controls.csv": "task control auroc auroc_low auroc_high",
    "tables/linear_probe_metrics.csv": "layer chosen auroc auroc_low auroc_high",
    "tables/meta_sae.csv": "site rows k seed left left_pursuit",
    "tables/meta_sae_probe.csv": "concept f1_of_all probe f1 f1_low f1_high",
    "tables/ov_readout_audit.csv": (
        "task layer head probe_layer at_or_below_probe write_cosine write_cosine_null_low write_cosine_null_high "
        "write_cosine_p write_cosine_q read_cosine read_cosine_null_low read_cosine_null_high read_cosine_p "
        "read_cosine_q self_gain self_gain_null_low self_gain_null_high self_gain_p self_gain_q"
    ),
    "tables/planted_circuit_detection.csv": "criterion strength planted rate low high",
    "tables/read_identity.csv": "read split called_bases true_bases identity",
    "tables/read_identity_summary.csv": (
        "domain has_truth reads called_bases identity low high mismatches_rate insertions_rate deletions_rate "
        "homopolymers_right"
    ),
    "tables/signal_pair_counts.csv": "what count call_changed",
    "tables/signal_pairs.csv": (
        "pair group base run_length corruption strength clean_sequence corrupted_sequence start end source read split "
        "shift scale"
    ),
    "tables/sparse_autoencoder_training.csv": "encoder site k expansion seed tokens variance_explained",
    "tables/sparse_autoencoders.csv": (
        "encoder site k expansion latents seed split variance_explained l0 dead dense recovered_of_zero "
        "recovered_of_zero_low recovered_of_zero_high recovered_of_mean recovered_of_mean_low recovered_of_mean_high"
    ),
    "tables/steering.csv": (
        "site latent position kind dose measure effect low high sites directions_low directions_high latents_low "
        "latents_high"
    ),
    "tables/steering_summary.csv": "site latent position kind measure area area_low area_high",
    "tables/universality.csv": "site readout identity_kind latent identity f1 f1_expected q",
    "tables/*_ov_probe_alignment.csv": (
        "vector singular_value write_cosine read_cosine self_gain_part null_cosine null_top_cosine"
    ),
    "head_examples/*_heads.csv": "layer head sequences tokens support_tokens r slope support_mean background_mean rho",
    "head_examples/*_received.csv": "layer head low high support background",
    "head_examples/*_sequences.json": "name label sequence spans sites",
    "head_examples/*_tokens.npz": "role motif_score key_scores",
    "qk_alignment/*_qk_alignment.csv": "layer head",
    "motif_scoring/*_motif.json": "counts pseudocount background bases width threshold_bits threshold_p anchor",
    "motif_scoring/*_sites.csv": "label length start end",
    "patching/components.csv": (
        "measure patch direction group granularity layer head maximum_seed least_visible pm pm_low pm_high n_pairs "
        "n_failed effect q beyond_other_corrupted_low other_corrupted beyond_other_site_low other_site "
        "beyond_unrelated_low unrelated flag restores passes"
    ),
    "patching/tracks.csv": "group component layer sample gain low high",
    "patching/*_batch_activation_patching.csv": (
        "direction layer head pm pm_low pm_high n_pairs n_failed other_corrupted control readout_layer effect "
        "effect_low"
    ),
    "patching/*_components.csv": "readout_layer direction granularity layer pm pm_low pm_high flag",
    "patching/*_windows.csv": "layer start end pm pm_low pm_high",
    "circuits/spectra.npz": "qk_singular_values ov_singular_values ov_eigenvalues",
    "circuits/*graph.json": "meta nodes edges",
    "circuits/features_*.json": "meta features",
    "latents/*.json": "site windows tokens latents",
    "tables/substitution_summary.csv": (
        "measure sequences difference difference_low difference_high q bits_correlation bits_correlation_low "
        "bits_correlation_high"
    ),
    "features/substitution_effects.csv": "kind offset motif_wild_type motif_mutant",
    "substitutions/*_map.csv": "position wild_type mutant masked_marginal DMS_score",
    "substitutions/*.csv": "mutant mutations DMS_score masked_marginal",
    "pairs/pairs.npz": "clean corrupted clean_boundaries corrupted_boundaries",
}
"""Columns, keys or arrays by the pattern of the artifacts; the first pattern that matches counts."""


def lacking(name: str, content: Any, more: Collection[str] = ()) -> list[str]:
    """What an artifact lacks of what every chapter needs, and of `more`.

    content: a table, arrays by name, a mapping, or a list of mappings, of which the first is looked at.
    """
    needed = next((needed for pattern, needed in NEEDED.items() if fnmatchcase(name, pattern)), "")
    held = content[0] if isinstance(content, list) and content else content
    return [key for key in (*needed.split(), *more) if key not in held]
