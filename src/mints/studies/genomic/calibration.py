"""Step: what the evidence stack could have seen in this model, from planted heads and from nulls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from mints.analysis.bootstrap import Resamples, cluster_weights
from mints.analysis.calibration import detection_table, false_positive_table, sensitivities
from mints.analysis.ceiling import Ceiling, cross_products, fold_of, measure_ceilings
from mints.analysis.patching import ProbeLogit, heads_of
from mints.analysis.planting import make_detector, plant
from mints.analysis.probes import Labelled, fit_probe
from mints.analysis.token_roles import assign_roles
from mints.analysis.trial import Scene, Setting, measure
from mints.data.composition import dinucleotide_shuffle
from mints.models.activations import TOKENS_PER_BATCH, mean_residuals
from mints.models.encoder import Encoder, randomly_initialised
from mints.pipeline.run import Run
from mints.report.calibration import detection_figure
from mints.studies.genomic.causal_intervention import encode_pairs, with_partners
from mints.studies.genomic.counterfactuals import make_pairs
from mints.studies.genomic.evidence import thresholds_of
from mints.studies.genomic.probe_readouts import probe_readout
from mints.studies.genomic.questions import OpenQuestion, boundaries, open_question
from mints.studies.shared.models import OpenModel, open_model

FOLDS = 5
POWER = 0.95
"""Detection rate from which on a strength counts as detectable."""

FALSE_POSITIVE_LEVEL = 0.95
"""Level of the upper bound of a false-positive rate."""

PROBE_SEQUENCES = 800
"""Training sequences of a randomly initialised model's own probe."""

READS_FROM = 1000
"""Training sequences from which a planted detector's direction is fitted."""


class Bench(NamedTuple):
    """What all trials of one calibration share."""

    run: Run
    model: OpenModel
    question: OpenQuestion
    table: pd.DataFrame
    setting: Setting


def run_calibration(run: Run) -> None:
    """Plant detectors of graded strength and count what is found; count what is found where nothing is."""
    model = open_model(run)
    asked = next(q for q in run.config.motif_questions if q.name == run.config.calibration_question)
    table = run.load(f"tasks/{asked.task}.parquet")
    tokens_per_batch = run.config.tokens_per_batch or TOKENS_PER_BATCH[model.compute.device.type]
    thresholds = thresholds_of(run.config.registered)
    setting = Setting(model.compute, tokens_per_batch, thresholds, run.config.probe_ci_level)
    bench = Bench(run, model, open_question(asked, table), table, setting)
    readout = probe_readout(run, asked.task)
    planted = plant_everywhere(bench, asked.name, readout)
    nulls = pd.concat(list(null_trials(bench, readout)), ignore_index=True)
    detection = detection_table(planted, setting.level)
    false_positives = false_positive_table(nulls, FALSE_POSITIVE_LEVEL)
    statements = pd.DataFrame(sensitivities(detection, POWER))
    run.save("calibration/planted_heads.csv", planted)
    run.save("calibration/null_heads.csv", nulls)
    run.save("tables/calibration_detection.csv", detection)
    run.save("tables/calibration_false_positives.csv", false_positives)
    run.save("tables/calibration_sensitivity.csv", statements)
    run.figure("calibration", detection_figure(detection, false_positives, power=POWER))
    for row in statements.itertuples():
        run.message(f"{row.criterion}: {row.statement}")


def sample(rows: pd.DataFrame, size: int, rng: np.random.Generator) -> pd.DataFrame:
    """Rows drawn at random, in the order of the table."""
    return rows.iloc[np.sort(rng.permutation(len(rows))[:size])].reset_index(drop=True)


def make_scene(
    bench: Bench,
    question: OpenQuestion,
    rows: pd.DataFrame,
    pairs: pd.DataFrame,
    rng: np.random.Generator,
    ceilings: Callable[[list[Any], list[Any], Any], list[Ceiling]],
) -> Scene:
    """A trial's sequences and pairs. ceilings: from encodings, motif scores and folds."""
    run, tokenizer = bench.run, bench.model.tokenizer
    sequences, labels = rows["sequence"].tolist(), rows["label"].to_numpy(dtype=int)
    encodings = tokenizer.encode_many(sequences)
    permutations = run.config.permuted_motifs
    roles = assign_roles(sequences, encodings, labels, question.asked(), permutations, rng).roles
    clusters, resamples = rows["cluster"].to_numpy(), run.config.probe_bootstrap_samples
    pairs = with_partners(pairs, tokenizer, rng)
    judge = Resamples(cluster_weights(pairs["unit"].to_numpy(), resamples, rng), bench.setting.level)
    first = np.searchsorted(roles.sequence, np.arange(1, len(rows)))
    limits = ceilings(encodings, np.split(roles.bits[:, 0], first), fold_of(clusters, FOLDS, rng))
    weights = cluster_weights(clusters, resamples, rng)
    with_control = pairs["control"].notna().to_numpy()
    return Scene(encodings, roles, weights, encode_pairs(pairs, tokenizer), with_control, judge, limits)


def plant_everywhere(bench: Bench, name: str, readout: ProbeLogit) -> pd.DataFrame:
    """One row per place and strength: the evidence table's row of the planted head."""
    run, encoder, rng = bench.run, bench.model.encoder, bench.run.rng("planted")
    pairs = run.load(f"counterfactuals/{name}_pairs.csv").iloc[: run.config.calibration_pairs]
    rows = sample(bench.table[bench.table["split"] != "train"], run.config.calibration_sequences, rng)
    known = run.load(f"qk_alignment/{name}_qk_alignment.csv")
    of_model = known[(known["variant"] == "model") & (known["token_set"] == "all_tokens")].drop_duplicates("layer")
    limits = [Ceiling(*row) for row in of_model[["ceiling", "ceiling_low", "ceiling_high"]].itertuples(index=False)]
    # The planted head does not change its own layer's input, so that the model's own ceiling stands.
    scene = make_scene(bench, bench.question, rows, pairs, rng, lambda *_: limits)
    products = fit_products(bench, rng)
    length = residual_lengths(bench, scene)
    places = [place for place in heads_of(encoder) if place[0] <= readout.layer]
    chosen = [places[i] for i in np.sort(rng.permutation(len(places))[: run.config.calibration_heads])]
    direction = readout.weights.numpy().astype(float)
    trials = [(strength, place) for strength in run.config.calibration_strengths for place in chosen]
    found: list[pd.DataFrame] = []
    for strength, (layer, head) in run.track(trials, description="planted heads", unit="heads"):
        detector = make_detector(products, layer, head, direction, length[layer])
        model = plant(encoder, detector, strength)
        evidence = measure(model, scene, readout, bench.setting, [(layer, head)])
        row = evidence[(evidence["layer"] == layer) & (evidence["head"] == head)]
        found.append(row.assign(strength=strength))
    table: pd.DataFrame = pd.concat(found, ignore_index=True)
    return table


def fit_products(bench: Bench, rng: np.random.Generator) -> Any:
    """Cross-products of training tokens, from which planted detectors are made.

    Of inner tokens alone: near the ends the best of fewer windows is lower, and a direction fitted there would read
    the ends and not the motif.
    """
    rows = sample(bench.table[bench.table["split"] == "train"], READS_FROM, rng)
    sequences = rows["sequence"].tolist()
    encodings = bench.model.tokenizer.encode_many(sequences)
    labels = rows["label"].to_numpy(dtype=int)
    roles = assign_roles(sequences, encodings, labels, bench.question.asked(), 0, rng).roles
    inner = np.where(roles.inner, roles.bits[:, 0], -np.inf)
    bits = np.split(inner, np.searchsorted(roles.sequence, np.arange(1, len(rows))))
    return cross_products(bench.model.encoder, encodings, bits, bench.model.compute, bench.setting.tokens_per_batch)


def residual_lengths(bench: Bench, scene: Scene) -> list[float]:
    """Mean length of the residual vectors of every layer's input."""
    encoder, compute = bench.model.encoder, bench.model.compute
    sites = [f"blocks.{layer}.hook_resid_pre" for layer in range(encoder.architecture.n_layers)]
    tokens = torch.from_numpy(scene.encodings[0].ids)[None].to(compute.device)
    with compute.inference():
        cache = encoder.run(tokens, sites=sites).cache
    return [float(cache[site].float().norm(dim=-1).mean()) for site in sites]


def null_trials(bench: Bench, readout: ProbeLogit) -> Iterator[pd.DataFrame]:
    """Evidence tables of everything where nothing is to be found."""
    run, encoder = bench.run, bench.model.encoder
    held_out = bench.table[bench.table["split"] != "train"].reset_index(drop=True)
    replicates = range(run.config.calibration_replicates)
    nulls = ("permuted motif", "shuffled sequences", "random initialisation")
    trials = [(null, replicate) for null in nulls for replicate in replicates]
    for null, replicate in run.track(trials, description="nulls", unit="trials"):
        rng = run.rng(f"{null} {replicate}")
        question, rows, model, read = bench.question, held_out, encoder, readout
        if null == "permuted motif":
            question = question.permuted(rng)
        elif null == "shuffled sequences":
            shuffled = [dinucleotide_shuffle(sequence, rng) for sequence in rows["sequence"]]
            question, rows = question._replace(anchor=None), rows.assign(sequence=shuffled)
        else:
            model = randomly_initialised(encoder.architecture, int(rng.integers(2**31))).to(bench.model.compute.device)
            model.fused_attention = True
            read = own_probe(bench, model, readout.layer, rng)
        yield null_trial(bench, question, rows, model, read, rng).assign(null=null, replicate=replicate)


def null_trial(
    bench: Bench,
    question: OpenQuestion,
    rows: pd.DataFrame,
    model: Encoder,
    readout: ProbeLogit,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Evidence of all heads of one model for one motif on these sequences."""
    run, setting = bench.run, bench.setting
    scored = question.scorer.windows(rows["sequence"].tolist())
    labels = rows["label"].tolist()
    has_site = [len(question.sites(windows, label)) > 0 for windows, label in zip(scored, labels, strict=True)]
    candidates = rows[has_site].reset_index(drop=True)
    order, keep = rng.permutation(len(candidates)), boundaries(bench.model.tokenizer)
    pairs, _ = make_pairs(candidates, order, question.rule(), keep, rng, run.config.calibration_pairs)

    def own_ceilings(encodings: list[Any], bits: list[Any], folds: Any) -> list[Ceiling]:
        compute, per_batch, level = setting.compute, setting.tokens_per_batch, setting.level
        return measure_ceilings(model, encodings, bits, folds, compute, tokens_per_batch=per_batch, level=level)

    chosen = sample(rows, run.config.calibration_sequences, rng)
    scene = make_scene(bench, question, chosen, pairs, rng, own_ceilings)
    return measure(model, scene, readout, setting).assign(pairs=len(pairs))


def own_probe(bench: Bench, model: Encoder, layer: int, rng: np.random.Generator) -> ProbeLogit:
    """A probe of the task on another model's mean residual vectors."""
    parts = {}
    for split in ("train", "validation"):
        rows = sample(bench.table[bench.table["split"] == split], PROBE_SEQUENCES, rng)
        encodings = bench.model.tokenizer.encode_many(rows["sequence"].tolist())
        vectors = mean_residuals(model, encodings, [layer], bench.model.compute, bench.setting.tokens_per_batch)
        parts[split] = Labelled(vectors[:, 0], rows["label"].to_numpy(dtype=int))
    probe = fit_probe(parts["train"], parts["validation"], bench.run.config.probe_penalties).model
    return ProbeLogit(layer, torch.from_numpy(np.asarray(probe.weights, dtype=np.float32)), float(probe.bias))
