"""Step: what every component restores of the motif's effect, and takes away from it, each against its nulls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray
from scipy.stats import spearmanr

from mints.analysis.bootstrap import Resamples
from mints.analysis.head_sums import from_arrays, map_leaves, to_arrays
from mints.analysis.patching import ProbeLogit
from mints.analysis.patching_sweep import TOKENS_PER_BATCH, PairSet, Sweep, empty_sweep, part_of, sweep_pairs
from mints.analysis.patching_tables import component_rows, head_rows, restoration_rows, window_rows
from mints.analysis.restoration import linked, other_pair
from mints.models.tokenizers import Tokenizer
from mints.pipeline.run import Run
from mints.report import patching as figures
from mints.report.head_maps import head_map, head_maps_figure
from mints.studies.genomic.probe_readouts import probe_readout
from mints.studies.shared.models import OpenModel, open_model
from mints.studies.shared.resampling import resamples_of

SHARD = 64
"""Pairs of one shard."""

WINDOW, REACH = 10, 60
"""Bases of a nucleotide window, and how far from the motif's first base windows are laid."""

WINDOWS = [(start, start + WINDOW) for start in range(-REACH, REACH, WINDOW)]

FEWEST = 8
"""Fewest independent pairs, or couples that lend each other activations, for which a sweep means anything."""


def run_causal_intervention(run: Run) -> None:
    """Patch every component of every question's pairs, both ways, and hold it against its nulls."""
    model = open_model(run)
    checks: dict[str, Any] = {}
    for asked in run.config.motif_questions:
        readout = probe_readout(run, asked.task)
        pairs = with_partners(run.load(f"counterfactuals/{asked.name}_pairs.csv"), model.tokenizer, run.rng(asked.name))
        units = pairs["unit"].nunique()
        if units < FEWEST:
            run.warn(
                f"question {asked.name} has {len(pairs)} pairs in {units} independent groups, too few to patch"
                f" (at least {FEWEST}): its figures are left undefined"
            )
            pairs = pairs.iloc[:0]
        sweep = stream_sweep(run, model, pairs, readout, asked.name)
        report_question(run, asked.name, pairs, sweep, readout.layer)
        checks[asked.name] = sanity(sweep)
        if asked.variants is not None:
            patch_natural_pairs(run, model, asked.name, readout)
        if asked.edit is not None:
            patch_single_pair(run, model, asked, pairs, readout)
    run.fact("sanity", checks)


def sanity(sweep: Sweep) -> dict[str, float]:
    """What must be exactly 0, measured on every pair of the run."""
    return {
        "largest change when a run is patched with itself": float(sweep.no_op.max(initial=0)),
        "largest distance from the clean run when everything is patched": float(sweep.everything.max(initial=0)),
        "largest change by a patch above the read-out": float(sweep.above_readout.max(initial=0)),
    }


def with_partners(pairs: pd.DataFrame, tokenizer: Tokenizer, rng: np.random.Generator) -> pd.DataFrame:
    """The pairs with the row of another pair, from which nulls take their activations, and what is resampled as one."""
    lengths = np.array([len(encoding.ids) for encoding in tokenizer.encode_many(pairs["clean"].tolist())], dtype=int)
    partner = other_pair(lengths, rng)
    return pairs.assign(partner=partner, unit=linked(pairs["cluster"].to_numpy(), partner))


def encode_pairs(pairs: pd.DataFrame, tokenizer: Tokenizer) -> PairSet:
    """All sides of the pairs; a pair without control is its own."""
    clean = tokenizer.encode_many(pairs["clean"].tolist())
    corrupted = tokenizer.encode_many(pairs["corrupted"].tolist())
    control = pairs["control"].where(pairs["control"].notna(), pairs["clean"]).tolist()
    return PairSet(
        clean,
        corrupted,
        tokenizer.encode_many(control),
        [clean[place] for place in pairs["partner"]],
        [corrupted[place] for place in pairs["partner"]],
        pairs["start"].to_numpy(),
    )


def stream_sweep(run: Run, model: OpenModel, pairs: pd.DataFrame, readout: ProbeLogit, label: str) -> Sweep:
    """Every patch of every pair, one shard at a time."""
    architecture = model.encoder.architecture
    if pairs.empty:
        return empty_sweep(architecture.n_layers, architecture.n_heads, len(WINDOWS))
    encoded = encode_pairs(pairs, model.tokenizer)
    tokens_per_batch = run.config.tokens_per_batch or TOKENS_PER_BATCH[model.compute.device.type]

    def sweep_shard(start: int) -> dict[str, ndarray]:
        part = part_of(encoded, start, start + SHARD)
        return to_arrays(sweep_pairs(model.encoder, part, readout, model.compute, WINDOWS, tokens_per_batch))

    parts = [from_arrays(Sweep, arrays) for arrays in run.map(sweep_shard, range(0, len(pairs), SHARD), label=label)]
    return map_leaves(lambda *leaves: np.concatenate(leaves), *parts)


def report_question(run: Run, name: str, pairs: pd.DataFrame, sweep: Sweep, readout_layer: int) -> None:
    """Tables and figures of one question."""
    judge = resamples_of(run, pairs["unit"].to_numpy())
    heads = head_rows(sweep, pairs["control"].notna().to_numpy(), judge, run.config.registered.restoration)
    components = component_rows(sweep, judge)
    windows = window_rows(sweep, WINDOWS, judge)
    for table in (heads, components, windows):
        table.insert(0, "readout_layer", readout_layer)
    readouts = pairs[["name", "substitutions"]].assign(
        readout_clean=sweep.denoising.clean,
        readout_corrupted=sweep.denoising.corrupted,
        readout_control=sweep.denoising.control,
    )
    run.save(f"patching/{name}_readouts.csv", readouts)
    run.save(f"patching/{name}_batch_activation_patching.csv", heads)
    run.save(f"patching/{name}_components.csv", components)
    run.save(f"patching/{name}_windows.csv", windows)
    draw(run, name, pairs, heads, components, windows)


def draw(
    run: Run, name: str, pairs: pd.DataFrame, heads: pd.DataFrame, components: pd.DataFrame, windows: pd.DataFrame
) -> None:
    """The question's figures."""
    plain = name.replace("_", " ")
    by_direction = {direction: heads[heads["direction"] == direction] for direction in ("denoising", "noising")}
    maps = head_maps_figure(
        by_direction,
        "pm",
        title=f"Patching heads, {plain}: share of the motif's effect restored or taken away",
        label="PM",
        centre=0,
        threshold=run.config.registered.restoration,
    )
    run.figure(f"{name}_batch_activation_patching_heatmap", maps)
    run.figure(f"{name}_components", figures.components_figure(components, question=plain))
    motif_width = int((pairs["end"] - pairs["start"]).median()) if len(pairs) else 0
    run.figure(f"{name}_window_map", figures.window_map_figure(windows, motif_width=motif_width, question=plain))
    denoised = by_direction["denoising"]
    estimates = denoised[["layer", "head", "attribution", "pm"]].rename(
        columns={"attribution": "estimate", "pm": "exact"}
    )
    run.figure(f"{name}_attribution", figures.attribution_figure(estimates, question=plain))
    if len(pairs):
        rank = float(spearmanr(estimates["estimate"], estimates["exact"]).statistic)
        run.fact(f"{name} rank correlation of attribution and exact patching", rank)


def patch_natural_pairs(run: Run, model: OpenModel, name: str, readout: ProbeLogit) -> None:
    """Heads of the pairs that nature made: reference window and variant."""
    pairs = with_partners(run.load(f"counterfactuals/{name}_natural_pairs.csv"), model.tokenizer, run.rng(name))
    sweep = stream_sweep(run, model, pairs, readout, f"{name} natural pairs")
    judge, no_control = resamples_of(run, pairs["unit"].to_numpy()), np.zeros(len(pairs), dtype=bool)
    heads = head_rows(sweep, no_control, judge, run.config.registered.restoration)
    run.save(f"patching/{name}_natural_pairs.csv", heads)


def patch_single_pair(run: Run, model: OpenModel, asked: Any, pairs: pd.DataFrame, readout: ProbeLogit) -> None:
    """One sequence with the fixed edit; where that moves a token boundary, with the edit that keeps them."""
    fixed = run.load(f"counterfactuals/{asked.name}_fixed_edit.csv")
    chosen = fixed if asked.single_pair is None else fixed[fixed["name"] == asked.single_pair]
    aligned = chosen[chosen["aligned"].astype(bool)]
    edit, source = ("fixed", aligned) if len(aligned) else ("boundary-preserving", pairs)
    if asked.single_pair is not None:
        source = source[source["name"] == asked.single_pair]
    if source.empty:
        run.warn(f"question {asked.name} has no pair to patch alone: {asked.single_pair or 'no sequence'} gave none")
    pair = source.iloc[:1].assign(control=None, partner=0)
    name = " ".join(pair["name"])
    sweep = stream_sweep(run, model, pair, readout, f"{asked.name} single pair")
    judge = Resamples(np.ones((1, len(pair)), dtype=np.int64), run.config.probe_ci_level)
    clean, corrupted = sweep.denoising.clean, sweep.denoising.corrupted
    table = restoration_rows(sweep.denoising.heads - corrupted[:, None, None], clean - corrupted, judge)[
        ["layer", "head", "pm"]
    ]
    table.insert(0, "edit", edit)
    table.insert(0, "name", name)
    run.save(f"patching/{asked.name}_single_pair_activation_patching.csv", table)
    title = f"Patching heads of one pair, {name} ({edit} edit)"
    figure = head_map(table, "pm", title=title, label="PM", centre=0)
    run.figure(f"{asked.name}_activation_patching_heatmap", figure)
