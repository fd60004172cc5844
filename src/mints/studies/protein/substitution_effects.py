"""Step: what the model makes of every measured mutant, beside the assay and beside what needs no model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy import ndarray

from mints.analysis.scan_correlation import scan_correlations
from mints.analysis.substitution_baselines import BASELINES
from mints.data.deep_mutational_scan import Scan
from mints.errors import MintsError
from mints.features.scan_scores import (
    MODEL_SCORES,
    EverySubstitution,
    baseline_scores,
    score_scan,
    variant_table,
)
from mints.models.encoder import Encoder, randomly_initialised
from mints.pipeline.run import Run
from mints.report.scans import scan_map_figure, scan_scatter_figure
from mints.studies.protein.scans import open_scans
from mints.studies.shared.models import OpenModel, open_model

UNTRAINED = "random_initialisation_"
"""Before the names of the scores of an untrained model of the same shape."""

BASELINE = "blosum62"
"""What every score is held against."""

TRUTH = "truth"


def run_substitution_effects(run: Run) -> None:
    """Score the mutants of every scan with the model, an untrained twin and the baselines; correlate with the assay."""
    model, scans = open_model(run), open_scans(run)
    if model.encoder.head is None:
        raise MintsError("the checkpoint has no masked-language head: it gives residues no probability")
    _tell_long_ones(run, model, scans)
    untrained = randomly_initialised(model.encoder.architecture, run.config.seed).to(model.compute.device)
    untrained.fused_attention = True

    def score_one(name: str) -> dict[str, ndarray]:
        return _scored(model, model.encoder, scans[name], "") | _scored(model, untrained, scans[name], UNTRAINED)

    tables, correlations, places = {}, [], {}
    for (name, scan), arrays in zip(scans.items(), run.map(score_one, list(scans), label="scans"), strict=True):
        table, every = scored_table(run, name, scan, arrays), every_table(scan, arrays)
        correlation = _correlations(run, name, scan, table)
        correlation.insert(0, "protein", name)
        run.save(f"substitutions/{name}.csv", table)
        run.save(f"substitutions/{name}_map.csv", every)
        correlations.append(correlation)
        tables[name], places[name] = table, every
    summary = pd.concat(correlations, ignore_index=True)
    run.save("tables/dms_correlation.csv", summary)
    run.figure("dms_scatter", scan_scatter_figure(tables, summary))
    first = next(iter(places))
    run.figure("dms_map", scan_map_figure(places[first], protein=first))


def _tell_long_ones(run: Run, model: OpenModel, scans: dict[str, Scan]) -> None:
    limit = model.tokenizer.max_tokens
    framed = len(model.tokenizer.encode("A").ids) - 1
    for name, scan in scans.items():
        if limit is not None and len(scan.wild_type) + framed > limit:
            run.warn(f"scan {name} has {len(scan.wild_type)} residues; the model was made for {limit - framed}")


def _scored(model: OpenModel, encoder: Encoder, scan: Scan, prefix: str) -> dict[str, ndarray]:
    scores, every = score_scan(encoder, model.tokenizer, scan, model.compute)
    of_variants = {f"variant/{prefix}{column}": scores[column].to_numpy() for column in scores}
    return of_variants | {f"every/{prefix}{name}": np.asarray(part) for name, part in every._asdict().items()}


def scored_table(run: Run, name: str, scan: Scan, arrays: dict[str, ndarray]) -> pd.DataFrame:
    """One row per mutant: what was measured, what the models say, the baselines and, where it is known, the truth."""
    scores = {key.removeprefix("variant/"): part for key, part in arrays.items() if key.startswith("variant/")}
    table = pd.concat([variant_table(scan), pd.DataFrame(scores), baseline_scores(scan)], axis=1)
    known = f"simulated_proteins/truth/{name}.csv"
    if run.has(known):
        truth: pd.DataFrame = run.load(known)
        table[TRUTH] = table["mutant"].map(truth.set_index("mutant")["effect"])
    return table


def every_table(scan: Scan, arrays: dict[str, ndarray]) -> pd.DataFrame:
    """One row per place and residue: both marginals, and what was measured of that single substitution."""
    place, letter, wild, masked = (arrays[f"every/{field}"] for field in EverySubstitution._fields)
    measured = {(v.changes[0].position, v.changes[0].mutant): v.score for v in scan.singles()}
    return pd.DataFrame(
        {
            "position": place + 1,
            "wild_type": [scan.wild_type[at] for at in place],
            "mutant": letter,
            "wild_type_marginal": wild,
            "masked_marginal": masked,
            "DMS_score": [measured.get(key, np.nan) for key in zip(place.tolist(), letter.tolist(), strict=True)],
        }
    )


def _correlations(run: Run, name: str, scan: Scan, table: pd.DataFrame) -> pd.DataFrame:
    untrained = [f"{UNTRAINED}{score}" for score in ("wild_type_marginal", "masked_marginal")]
    scores = [*MODEL_SCORES, *untrained, *BASELINES]
    targets = {"DMS_score": [*scores, TRUTH] if TRUTH in table else scores}
    targets |= {TRUTH: scores} if TRUTH in table else {}
    positions = [variant.positions() for variant in scan.variants]
    return pd.concat(
        [
            scan_correlations(
                table,
                positions,
                columns,
                BASELINE,
                target,
                resamples=run.config.probe_bootstrap_samples,
                level=run.config.probe_ci_level,
                rng=run.rng(f"positions {name}"),
            )
            for target, columns in targets.items()
        ],
        ignore_index=True,
    )
