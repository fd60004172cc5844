"""Step: through which latents substitutions act, and whether these know more than the residue they sit on."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import pandas as pd
from numpy import ndarray

from mints.analysis.bootstrap import Resamples, cluster_weights
from mints.errors import MintsError
from mints.features.autoencoder import SparseAutoencoder
from mints.features.mutation_sample import sample_mutations
from mints.features.pair_patching import SANITY
from mints.features.restart import reaches_other_tokens
from mints.features.substitution_readout import CONTEXTS
from mints.pipeline.run import Run
from mints.report.latents import OF_SUBSTITUTIONS, latent_effects_figure
from mints.report.scans import latent_relation_figure
from mints.studies.protein.effect_tables import COMPARED, Outcome, outcome_of, site_tables
from mints.studies.protein.scans import open_scans
from mints.studies.protein.traced_mutations import Piece, Work, split, trace_piece
from mints.studies.protein.universal_latents import universality_table
from mints.studies.shared.dictionaries import dictionary_files, open_autoencoder, site_folder
from mints.studies.shared.models import OpenModel, open_model
from mints.studies.shared.ready_dictionaries import ready_autoencoders

FEWEST = 5
"""Fewest mutations, on either side of the split, for which shares of their effect mean anything."""

TABLES = ("latent_effects", "latent_sets", "integrated_gradients", "latent_dms", "universality")


def run_substitution_latents(run: Run) -> None:
    """Exchange latents between wild types and mutants; each protein and site is a piece of work of its own."""
    model, scans = open_model(run), open_scans(run)
    if model.encoder.head is None:
        raise MintsError("the checkpoint has no masked-language head: it gives residues no probability")
    autoencoders = {
        site: autoencoder for site, autoencoder in open_autoencoders(run, model).items() if _is_traced(run, model, site)
    }
    mutations = {
        name: sample_mutations(scan, run.config.mutations, run.rng(f"mutations {name}")) for name, scan in scans.items()
    }
    traced = [name for name in scans if _enough(run, name, mutations[name])]
    pieces = [Piece(*pair) for pair in product(traced, autoencoders)]

    def work_on(piece: Piece) -> dict[str, ndarray]:
        return trace_piece(_work(run, model, autoencoders[piece.site], piece), mutations[piece.protein])

    results = dict(zip(pieces, run.map(work_on, pieces, label="pieces"), strict=True))
    tables = merge(run, results, mutations)
    for name, table in tables.items():
        run.save(f"tables/{name}.csv", table)
    _draw(run, tables)
    run.fact("mutations traced", {name: len(mutations[name]) for name in traced})


def _is_traced(run: Run, model: OpenModel, site: str) -> bool:
    """Above the last attention a substitution acts on its own residue alone, and every other read-out is 0."""
    reaches = reaches_other_tokens(site, model.encoder.architecture.n_layers)
    if not reaches:
        run.warn(f"{site} lies above the last attention: nothing there can change another residue; not traced")
    return reaches


def open_autoencoders(run: Run, model: OpenModel) -> dict[str, SparseAutoencoder]:
    """The dictionary of every site: that of this run where it has trained or taken over one, else the user's own."""
    ready = {} if _from_run(run) else ready_autoencoders(run, model)
    found = {}
    for site in run.config.features.sites:
        found[site] = open_autoencoder(run, site) if _from_run(run) else ready[site].autoencoder
    return {site: one.to(model.compute.device).requires_grad_(False) for site, one in found.items()}


def _from_run(run: Run) -> bool:
    """Whether the step that makes the dictionaries takes part in this run."""
    return all(run.has(file) for site in run.config.features.sites for file in dictionary_files(site_folder(site)))


def _enough(run: Run, name: str, mutations: pd.DataFrame) -> bool:
    enough = mutations["position"].nunique() >= 2 * FEWEST
    if not enough:
        run.warn(f"scan {name} has {len(mutations)} mutations to trace at too few positions: at least {2 * FEWEST}")
    return bool(enough)


def _work(run: Run, model: OpenModel, autoencoder: SparseAutoencoder, piece: Piece) -> Work:
    return Work(model, autoencoder, piece, lambda purpose: run.rng(f"{piece.protein} {piece.site} {purpose}"))


def merge(
    run: Run, results: Mapping[Piece, Mapping[str, ndarray]], mutations: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """All tables, site by site, protein by protein."""

    def judge(clusters: ndarray) -> Resamples:
        weights = cluster_weights(clusters, run.config.probe_bootstrap_samples, run.rng("resamples"))
        return Resamples(weights, run.config.probe_ci_level)

    largest = dict.fromkeys(SANITY, 0.0)
    by_site: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for site in dict.fromkeys(piece.site for piece in results):
        here = {piece: arrays for piece, arrays in results.items() if piece.site == site}
        outcomes = {
            context: [_outcome(run, *item, mutations, context) for item in here.items()] for context in CONTEXTS
        }
        found = site_tables(outcomes, judge)._asdict()
        leading = {piece.protein: arrays for piece, arrays in here.items()}
        found["universality"] = universality_table(leading, mutations, run.rng(f"universality {site}"))
        for name, table in found.items():
            table.insert(0, "site", site)
            by_site[name].append(table)
        for outcome in (outcome for of_context in outcomes.values() for outcome in of_context):
            largest = {name: max(value, outcome.patched.sanity[name]) for name, value in largest.items()}
    run.fact("sanity", largest)
    return {name: pd.concat(parts, ignore_index=True) if parts else pd.DataFrame() for name, parts in by_site.items()}


def _outcome(
    run: Run,
    piece: Piece,
    arrays: Mapping[str, ndarray],
    mutations: Mapping[str, pd.DataFrame],
    context: str,
) -> Outcome:
    reported = split(mutations[piece.protein], run.rng(f"{piece.protein} {piece.site} halves"))[1]
    scores: pd.DataFrame = run.load(f"substitutions/{piece.protein}.csv")
    of_mutants = scores.rename(columns={"mutant": "name"})[["name", *COMPARED]]
    return outcome_of(piece.protein, reported.merge(of_mutants, on="name", validate="1:1"), arrays, context)


def _draw(run: Run, tables: Mapping[str, pd.DataFrame]) -> None:
    """Figures of the last site, of all proteins together where there are several."""
    singles, sets, protein = tables["latent_effects"], tables["latent_sets"], ""
    if len(sets):
        site, protein = sets["site"].iloc[-1], sets["protein"].iloc[-1]
        singles, sets = (part[(part["site"] == site) & (part["protein"] == protein)] for part in (singles, sets))
    run.figure("latent_effects", latent_effects_figure(singles, sets, question=protein, drawn=OF_SUBSTITUTIONS))
    run.figure("latent_dms", latent_relation_figure(tables["latent_dms"]))
