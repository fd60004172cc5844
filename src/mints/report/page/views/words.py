"""The words that the other chapters use, for a reader who does not know them."""

from __future__ import annotations

from mints.report.page.blocks import Table
from mints.report.page.saved import Saved

OF_ALL = {
    "p, q": "p: how often chance alone gives as much; q: p corrected for how many tests were made together. Small"
    " (0.05 and less) is hard to explain by chance",
    "null": "the same measurement where there is nothing to find: what a real finding has to exceed",
    "planted": "written into the model or the data at a known strength, to learn what the analysis could have seen",
    "patching": "a component's activations are exchanged between two runs whose inputs differ in one place. Denoising"
    " puts the clean run's into the corrupted one, noising the reverse",
    "PM": "share of the difference between both runs that patching restores: 0 nothing, 1 everything",
    "L2H0": "layer 2, head 0 of the model's attention; both are counted from 0",
    "exploratory": "the rule was set after results had been seen",
}
"""Every study's."""

OF_PROBES = {
    "probe": "a linear classifier that reads a label from the model's activations",
    "AUROC": "how often a positive scores above a negative: 0.5 is chance, 1 perfect",
}
OF_LATENTS = {
    "latent": "one unit of a sparse autoencoder, the dictionary that writes activations as a few of many directions;"
    " F42 is the latent of number 42",
    "site": "where a dictionary reads: blocks.2.hook_resid_post is the residual stream after layer 2",
    "F1": "how well a latent's being active agrees with an annotation: 0 not at all, 1 wholly",
    "matched": "of latents or sets: others that are active as often, as a null",
    "error node": "what a dictionary leaves of the activations",
}
OF_HEADS = {
    "floor": "what needs no model: here counts of k-mers (words of k bases). A probe that stays below it shows no more"
    " than composition",
    "r": "QK alignment: correlation of a head's key score with the motif's score over tokens",
    "ceiling": "the largest r that any linear reading of the layer reaches",
    "ρ": "attention enrichment: what motif tokens receive over matched background; 1 is no difference",
    "stack": "all three criteria together; registered: at the thresholds of the configuration; ceiling-relative: r is"
    " held against half of the layer's ceiling",
}
OF_SUBSTITUTIONS = {
    "masked marginal": "log-odds of the new residue against the old one where the model does not see the place;"
    " wild-type marginal: where it sees the old one",
    "assay": "measured effect of every mutant (deep mutational scanning)",
    "behaviour": "what a probe tells from decoys: a transmembrane helix, a signal peptide",
}
OF_CALLS = {
    "homopolymer": "a run of one base; its length is what a basecaller has to count",
    "sequence log-odds": "of the clean signal's sequence against the corrupted one's, over all ways to align either;"
    " transition log-odds: of the right step against the others, one time step at a time",
}
WORDS = {
    "genomic": OF_PROBES | OF_HEADS | OF_LATENTS | OF_ALL,
    "protein": OF_PROBES | OF_SUBSTITUTIONS | OF_LATENTS | OF_ALL,
    "basecaller": OF_CALLS | OF_ALL,
}


def words_table(saved: Saved) -> Table:
    """Words of this study's page, and what they mean."""
    words = WORDS[saved.configured("study", "genomic")]
    return Table("Words of this page", ["word", "meaning"], list(words.items()), "", page_length=len(words))
