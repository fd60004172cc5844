"""The simulated genome's tasks: promoters and splice sites against decoys of graded difficulty."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from numpy import ndarray

from mints.config import Simulation
from mints.data.simulation.elements import DONOR, TATA_UPSTREAM, score_sites, site_models
from mints.data.simulation.genome import TASKS, SimulatedGenome, random_stream
from mints.data.simulation.windows import (
    Coverage,
    annotated_sites,
    labelled,
    split_chromosomes,
    windows_on,
)

SPLICE_LETTERS = {"donor": (2, 3), "acceptor": (0, 2)}
"""GT and AG."""

PROMOTER_MARGIN = 300
"""Bases around every transcript start that negatives of the promoter tasks keep off."""

CANDIDATES_PER_WINDOW = 20
"""Random candidates drawn for every negative wanted, since some overlap what is taken."""

SCORE_BIN = 0.25
"""Bits within which a matched decoy's donor score equals a donor's."""

USEFUL_QUANTILE = 0.01
"""Decoys that score below this quantile of the donors cannot be matched and would only take up room."""


class TaskSplits(NamedTuple):
    """One task's rows (name, sequence, label) by split."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame


def simulate_tasks(genome: SimulatedGenome, simulation: Simulation) -> dict[str, TaskSplits]:
    """All tasks, classes balanced, windows of a task never overlapping, splits by chromosome.

    A split holds as many rows as the simulation asks for or as its chromosomes supply. Raises UsageError for fewer than
    four chromosomes.
    """
    makers = {
        "promoter_tata": lambda scene: _promoters(scene, tata=True),
        "promoter_no_tata": lambda scene: _promoters(scene, tata=False),
        "splice_sites_donors": lambda scene: _splice_sites(scene, "donor"),
        "splice_sites_acceptors": lambda scene: _splice_sites(scene, "acceptor"),
        "splice_sites_donors_matched": _matched_donors,
        "splice_sites_donors_swapped": _swapped_donors,
    }
    splits = split_chromosomes(list(genome.chromosomes))
    sizes = (simulation.train_sequences, simulation.validation_sequences, simulation.test_sequences)
    tasks = {}
    for task_number, (task, make) in enumerate(makers.items()):
        tables = []
        for split_number, (names, size) in enumerate(zip(splits, sizes, strict=True)):
            rng = random_stream(simulation, TASKS, task_number, split_number)
            table = make(_Scene(genome, simulation, names, size, rng))
            tables.append(table.iloc[rng.permutation(len(table))].reset_index(drop=True))
        tasks[task] = TaskSplits(*tables)
    return tasks


class _Scene(NamedTuple):
    """What one split of one task is made from."""

    genome: SimulatedGenome
    simulation: Simulation
    names: list[str]
    size: int
    rng: np.random.Generator

    def annotated(self, chromosome: str, kind: str) -> pd.DataFrame:
        """Features of one kind on a chromosome."""
        annotation = self.genome.annotation
        return annotation[(annotation["chromosome"] == chromosome) & (annotation["kind"] == kind)]

    def coverage(self, width: int) -> Coverage:
        """Nothing used yet."""
        return Coverage(self.genome.chromosomes, self.names, width)

    def shuffled(self, tables: list[pd.DataFrame]) -> pd.DataFrame:
        """All windows of several chromosomes in random order."""
        table = pd.concat(tables, ignore_index=True)
        return table.iloc[self.rng.permutation(len(table))]

    def splice_windows(self, kind: str) -> pd.DataFrame:
        """Windows with the site's first base in the centre, around every donor or acceptor, in random order."""
        return self.shuffled([self.centred(name, *annotated_sites(self.annotated(name, kind))) for name in self.names])

    def centred(self, name: str, sites: ndarray, reverse: ndarray) -> pd.DataFrame:
        """Windows around positions of one chromosome."""
        width = self.simulation.window
        length = len(self.genome.chromosomes[name])
        return windows_on(name, sites, reverse, width=width, index=width // 2, length=length)

    def table(self, width: int, negatives: pd.DataFrame, positives: pd.DataFrame) -> pd.DataFrame:
        """Rows of both classes, equally many."""
        count = min(len(negatives), len(positives))
        return labelled(self.genome.chromosomes, width, negatives.iloc[:count], positives.iloc[:count])


def transcript_start_index(width: int) -> int:
    """Where a promoter window has the transcript's first base: 249 of 300, as in the published sets."""
    return width * 5 // 6 - 1


def _promoters(scene: _Scene, *, tata: bool) -> pd.DataFrame:
    """Promoters with or without TATA box against random windows away from every promoter.

    Islands make promoters rich in G and C, and nothing takes this out: composition alone goes a long way here.
    """
    width, half = scene.simulation.promoter_window, scene.size // 2
    coverage = scene.coverage(width)
    promoters, elsewhere = [], []
    for name in scene.names:
        length = len(scene.genome.chromosomes[name])
        starts, reverse = annotated_sites(scene.annotated(name, "tss"))
        for start in starts:
            coverage.block(name, start - PROMOTER_MARGIN, start + PROMOTER_MARGIN + 1)
        boxes = set(annotated_sites(scene.annotated(name, "tata"))[0].tolist())
        upstream = np.where(reverse, starts + TATA_UPSTREAM, starts - TATA_UPSTREAM)
        wanted = np.array([position in boxes for position in upstream.tolist()], dtype=bool) == tata
        index = transcript_start_index(width)
        promoters.append(windows_on(name, starts[wanted], reverse[wanted], width=width, index=index, length=length))
        drawn = CANDIDATES_PER_WINDOW * half // len(scene.names) + 1
        anywhere, strands = scene.rng.integers(length, size=drawn), scene.rng.random(drawn) < 0.5
        elsewhere.append(windows_on(name, anywhere, strands, width=width, index=index, length=length))
    positives = scene.shuffled(promoters).iloc[:half]
    return scene.table(width, coverage.claim(scene.shuffled(elsewhere), len(positives)), positives)


def _splice_sites(scene: _Scene, kind: str) -> pd.DataFrame:
    """Donors (acceptors) against windows on random GT (AG) of either strand that are none."""
    half = scene.size // 2
    coverage = scene.coverage(scene.simulation.window)
    positives = coverage.claim(scene.splice_windows(kind), half)
    drawn = CANDIDATES_PER_WINDOW * half // len(scene.names) + 1
    decoys = []
    for name in scene.names:
        positions, reverse = _decoy_positions(scene, name, kind)
        chosen = scene.rng.permutation(len(positions))[:drawn]
        decoys.append(scene.centred(name, positions[chosen], reverse[chosen]))
    return scene.table(scene.simulation.window, coverage.claim(scene.shuffled(decoys), len(positives)), positives)


def _decoy_positions(scene: _Scene, name: str, kind: str) -> tuple[ndarray, Bool[ndarray, "position"]]:
    """Every place on either strand that has a site's two letters and is no such site."""
    codes = scene.genome.chromosomes[name]
    first, second = SPLICE_LETTERS[kind]
    forward = np.zeros(len(codes), dtype=bool)
    backward = np.zeros(len(codes), dtype=bool)
    forward[:-1] = (codes[:-1] == first) & (codes[1:] == second)
    backward[1:] = (codes[1:] == 3 - first) & (codes[:-1] == 3 - second)
    sites, site_reverse = annotated_sites(scene.annotated(name, kind))
    forward[sites[~site_reverse]] = False
    backward[sites[site_reverse]] = False
    positions = [np.flatnonzero(forward), np.flatnonzero(backward)]
    return np.concatenate(positions), np.repeat([False, True], [len(found) for found in positions])


def _matched_donors(scene: _Scene) -> pd.DataFrame:
    """Donors against GTs of equal donor score, half of them within exons and half within introns.

    A donor's window is half exon and half intron, so that each class has the same mean composition: the task is nearly
    an exclusive-or in composition. Decoys are chosen first, since strong ones are rare, the strongest before all.
    """
    width = scene.simulation.window
    donors = _with_score(scene, scene.splice_windows("donor"))
    decoys = _with_score(scene, scene.shuffled([_decoys_within(scene, name) for name in scene.names]))
    useful = decoys[decoys["score"] >= donors["score"].quantile(USEFUL_QUANTILE)]
    coverage = scene.coverage(width)
    decoys = coverage.claim(useful.sort_values("score", ascending=False, kind="stable"))
    decoys = decoys.iloc[scene.rng.permutation(len(decoys))]
    donors = coverage.claim(donors)
    quartets = scene.rng.permutation(_quartets(donors, decoys))[: scene.size // 4]
    return scene.table(width, decoys.loc[quartets[:, 2:].ravel()], donors.loc[quartets[:, :2].ravel()])


def _quartets(donors: pd.DataFrame, decoys: pd.DataFrame) -> Int[ndarray, "quartet 4"]:
    """As many index quartets as there are of two donors, a decoy in an exon and one in an intron, equal in score."""
    quartets = [np.empty((0, 4), dtype=np.int64)]
    for score_bin, donor in donors.groupby("bin"):
        in_bin = decoys[decoys["bin"] == score_bin]
        exon, intron = (in_bin.index[in_bin["within"] == within] for within in ("exon", "intron"))
        count = min(len(donor) // 2, len(exon), len(intron))
        pairs = donor.index[: 2 * count].to_numpy().reshape(count, 2)
        quartets.append(np.column_stack([pairs, exon[:count], intron[:count]]))
    return np.concatenate(quartets)


def _with_score(scene: _Scene, windows: pd.DataFrame) -> pd.DataFrame:
    """Windows with their site's donor score and its bin."""
    model = site_models()["donor"]
    scored: list[pd.DataFrame] = []
    for name, group in windows.groupby("chromosome", sort=False):
        codes, sites = scene.genome.chromosomes[str(name)], group["site"].to_numpy()
        scored.append(group.assign(score=score_sites(codes, sites, sites + 1, group["reverse"].to_numpy(), model)))
    table = pd.concat(scored).loc[windows.index]
    bins = np.floor(table["score"].to_numpy() / SCORE_BIN).astype(np.int64)
    return table.assign(bin=bins)


def _decoys_within(scene: _Scene, name: str) -> pd.DataFrame:
    """Windows on GTs that lie wholly within one exon or one intron of the GT's own strand."""
    width = scene.simulation.window
    windows = scene.centred(name, *_decoy_positions(scene, name, "donor"))
    found: list[pd.DataFrame] = []
    for within in ("exon", "intron"):
        features = scene.annotated(name, within)
        for strand, reverse in (("+", False), ("-", True)):
            inside = np.zeros(len(scene.genome.chromosomes[name]) + 1, dtype=np.int32)
            for start, end in features.loc[features["strand"] == strand, ["start", "end"]].itertuples(index=False):
                inside[start + 1 : end + 1] = 1
            inside = np.cumsum(inside)
            same = windows[windows["reverse"] == reverse]
            covered = inside[same["start"] + width] - inside[same["start"]]
            found.append(same[covered == width].assign(within=within))
    return pd.concat(found)


def _swapped_donors(scene: _Scene) -> pd.DataFrame:
    """Donors against other donors whose flanks are exchanged around the site: only the order of the bases differs."""
    width, half = scene.simulation.window, scene.size // 2
    windows = scene.coverage(width).claim(scene.splice_windows("donor"), 2 * half)
    count = len(windows) // 2
    table = scene.table(width, windows.iloc[count : 2 * count], windows.iloc[:count])
    swapped = table["label"] == 0
    table.loc[swapped, "sequence"] = table.loc[swapped, "sequence"].map(exchange_flanks)
    return table


def exchange_flanks(window: str) -> str:
    """The window with what precedes and what follows its central donor site exchanged.

    The site (nine bases, GT in the window's centre) stays where it is; the flanks are equally long, so that a base or
    more at the start of the window stays as well. Doing it twice gives the window back.
    """
    anchor = site_models()["donor"].anchor
    site_start = len(window) // 2 - anchor
    site_end = site_start + len(DONOR)
    flank = min(site_start, len(window) - site_end)
    before, after = site_start - flank, site_end + flank
    left, site, right = window[before:site_start], window[site_start:site_end], window[site_end:after]
    return window[:before] + right + site + left + window[after:]
