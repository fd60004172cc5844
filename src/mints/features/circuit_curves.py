"""How much of a behaviour a circuit carries alone, how much is left without it, and what each of its nodes adds.

F is the behaviour's contrast. Nodes outside a circuit are set to their reference means at all content tokens.

    faithfulness(C) = (F(C) − F(∅)) / (F(all) − F(∅))         completeness(C) = (F(all ∖ C) − F(∅)) / (F(all) − F(∅))
    minimality(C)   = median over nodes v of C of faithfulness(C) − faithfulness(C ∖ v)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from mints.analysis.bootstrap import Resamples, interval
from mints.features.autoencoder import Frame
from mints.features.circuit_names import ERROR
from mints.features.circuit_sites import CleanRun, Site, clean_runs, content_mask, resume
from mints.features.feature_circuits import Sample, Setting
from mints.features.matching import nearest

RANDOM_CIRCUITS = 3
"""Random circuits of each size."""

RANDOM_SIZES = (1, 4, 16, 64, 256)
"""Sizes at which random circuits are run."""

NODE_BY_NODE, RANDOM_NODE_BY_NODE = (1, 4, 16), 1
"""Sizes of circuits of which every node is removed in turn, and of how many random circuits of that size as well."""

NEAREST = 20
"""A random circuit takes for each node one of so many latents of its site that are closest in firing frequency."""


class Circuit(NamedTuple):
    """Nodes that are kept; all others are set to their means."""

    latents: dict[str, Bool[ndarray, "d_sae"]]
    """By site."""

    errors: bool
    """Whether the error nodes of all sites are kept."""

    def complement(self) -> Circuit:
        """Every node that this circuit leaves out."""
        return Circuit({name: ~kept for name, kept in self.latents.items()}, not self.errors)

    def without(self, site: str, latent: int) -> Circuit:
        """The circuit less one latent."""
        kept = {name: mask.copy() for name, mask in self.latents.items()}
        kept[site][latent] = False
        return Circuit(kept, self.errors)


def make_circuit(sites: Sequence[Site], nodes: pd.DataFrame, *, errors: bool) -> Circuit:
    """Circuit of these latents (columns site, latent) with or without the error nodes."""
    kept = {site.name: np.zeros(site.autoencoder.d_sae, dtype=bool) for site in sites}
    for name, latents in nodes.groupby("site")["latent"]:
        kept[str(name)][latents.to_numpy(dtype=int)] = True
    return Circuit(kept, errors)


def run_circuits(setting: Setting, circuits: Sequence[Circuit], sample: Sample) -> Float[ndarray, "circuit sequence"]:
    """Read-out of every sequence with each circuit alone in place.

    Every circuit is run on batches of one shape, so that circuits of the same nodes give the same bits: the circuit of
    all nodes is the model itself.
    """
    encoder, sites, _, readout, compute, tokens_per_batch = setting
    result = np.zeros((len(circuits), len(sample.encodings)))
    first = sites[0]
    for clean in clean_runs(encoder, sites[:1], sample.encodings, readout, compute, tokens_per_batch):
        rows = torch.arange(len(clean.rows), device=compute.device)
        with compute.inference():
            # What the lowest site holds is the same for every circuit.
            lowest = _nodes(first, clean.activations(first), error=True)
            for place, circuit in enumerate(circuits):
                moved = _displacement(setting, first, lowest, circuit, clean)
                later = {site.name: partial(_restrict, setting, site, circuit, clean) for site in sites[1:]}
                resumed = resume(encoder, clean, first, rows, moved, readout, interventions=later)
                result[place, clean.rows] = resumed.readout.double().cpu().numpy()
    return result


class Nodes(NamedTuple):
    """What the nodes of a site hold in a run."""

    latents: Float[Tensor, "sequence pos d_sae"]
    frame: Frame
    error: Float[Tensor, "sequence pos d_in"] | None
    """None where nobody asked for it."""


def _nodes(site: Site, x: Float[Tensor, "sequence pos d_in"], *, error: bool) -> Nodes:
    latents, frame = site.autoencoder.encode(x), site.autoencoder.frame(x)
    return Nodes(latents, frame, x - site.autoencoder.decode(latents, frame) if error else None)


def _displacement(
    setting: Setting, site: Site, nodes: Nodes, circuit: Circuit, clean: CleanRun
) -> Float[Tensor, "sequence pos d_in"]:
    """What has to be added to a site's values so that all but the circuit's nodes have their means."""
    reference = setting.references[site.name]
    kept = torch.from_numpy(circuit.latents[site.name]).to(setting.compute.device)
    moved = site.autoencoder.moved_by((reference.mean - nodes.latents).masked_fill(kept, 0.0), nodes.frame)
    if not circuit.errors:
        assert nodes.error is not None
        moved = moved + (reference.error - nodes.error)
    return moved * content_mask(clean)


def _restrict(setting: Setting, site: Site, circuit: Circuit, clean: CleanRun, value: Tensor) -> Tensor:
    """The same as an intervention: the nodes are read off the run as it has become by then."""
    nodes = _nodes(site, value.flatten(2).float(), error=not circuit.errors)
    return value + _displacement(setting, site, nodes, circuit, clean).view_as(value).to(value.dtype)


class Measured(NamedTuple):
    """One circuit of a curve."""

    measure: str
    """faithfulness, completeness, or less one node (of minimality)."""

    errors: str
    """keep or remove."""

    nodes: int
    random: int
    """Which of the random circuits; -1 for the circuit itself."""

    circuit: Circuit


def circuit_curves(
    setting: Setting,
    ranking: pd.DataFrame,
    sample: Sample,
    resamples: Resamples,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Faithfulness, completeness and minimality against the number of nodes, with random circuits of equal size.

    ranking: nodes of all sites, the strongest first, found on other sequences. Columns measure, errors (keep: the
    error nodes belong to the circuit), nodes, value, low, high (interval over sequences), random_circuits, random_mean,
    random_low, random_high (over random circuits).
    """
    latents = ranking[(ranking["latent"] != ERROR) & (ranking["estimate"] != 0)]
    measured = list(_planned(setting, latents, rng))
    empty = make_circuit(setting.sites, latents.iloc[:0], errors=False)
    readouts = run_circuits(setting, [empty.complement(), empty, *(m.circuit for m in measured)], sample)
    contrasts = np.concatenate(
        [sample.contrast.of(readouts)[:, None], sample.contrast.resampled(readouts, resamples.weights)], axis=1
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = (contrasts[2:] - contrasts[1]) / (contrasts[0] - contrasts[1])
    rows = pd.DataFrame([m[:-1] for m in measured], columns=list(Measured._fields[:-1]))
    return _curve_rows(rows, shares, resamples.level)


def _planned(setting: Setting, latents: pd.DataFrame, rng: np.random.Generator) -> Iterator[Measured]:
    """All circuits that are run: of the ranked nodes, of random ones, and less one node each."""
    sites = setting.sites
    total = sum(site.autoencoder.d_sae for site in sites)
    sizes = [0, *(2**power for power in range(20) if 2**power < len(latents)), len(latents)]
    drawn = {
        size: [random_circuit(setting, latents.iloc[:size], rng) for _ in range(RANDOM_CIRCUITS)]
        for size in RANDOM_SIZES
        if size < len(latents)
    }
    for errors in ("keep", "remove"):
        kept = errors == "keep"
        everything = make_circuit(sites, latents.iloc[:0], errors=not kept).complement()
        circuits = [(size, -1, make_circuit(sites, latents.iloc[:size], errors=kept)) for size in sizes]
        circuits.append((total, -1, everything))
        for size, choices in drawn.items():
            circuits += [(size, i, make_circuit(sites, chosen, errors=kept)) for i, chosen in enumerate(choices)]
        for size, which, circuit in circuits:
            yield Measured("faithfulness", errors, size, which, circuit)
            yield Measured("completeness", errors, size, which, circuit.complement())
        for size in (size for size in NODE_BY_NODE if size <= len(latents)):
            one_by_one = [(-1, latents.iloc[:size]), *enumerate(drawn.get(size, [])[:RANDOM_NODE_BY_NODE])]
            for which, nodes in one_by_one:
                circuit = make_circuit(sites, nodes, errors=kept)
                for site, latent in nodes[["site", "latent"]].itertuples(index=False):
                    yield Measured("less one node", errors, size, which, circuit.without(site, latent))


def random_circuit(setting: Setting, nodes: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """As many latents of each site, none of them among `nodes`, each with about the firing frequency of its node.

    Where all latents of a site that ever fire are taken, some of the nodes' own are drawn, and fewer where even these
    do not suffice.
    """
    parts = []
    for site in setting.sites:
        own = nodes.loc[nodes["site"] == site.name, "latent"].to_numpy()
        frequency = setting.references[site.name].frequency.cpu().numpy()
        free = frequency > 0
        free[own] = False
        taken: list[int] = []
        for latent in own:
            if not free.any():
                free = frequency > 0
                free[taken] = False
            if not free.any():
                break
            taken.append(int(rng.choice(nearest(np.abs(frequency - frequency[latent]), free, NEAREST))))
            free[taken[-1]] = False
        parts.append(pd.DataFrame({"site": site.name, "latent": np.array(taken, dtype=np.int64)}))
    return pd.concat(parts, ignore_index=True)


def _curve_rows(rows: pd.DataFrame, shares: Float[ndarray, "measured 1+resample"], level: float) -> pd.DataFrame:
    """shares: faithfulness of every circuit that was run, in the data and in every resample."""
    table = []
    for (errors, nodes), group in rows.groupby(["errors", "nodes"], sort=False):
        for measure in ("faithfulness", "completeness", "minimality"):
            by_circuit = {
                which: values
                for which, of_circuit in group.groupby("random")
                if (values := _values(of_circuit, shares, measure)) is not None
            }
            if -1 not in by_circuit:
                continue
            own = by_circuit.pop(-1)
            low, high = interval(own[1:, None], level)
            chance = np.array([values[0] for values in by_circuit.values()])
            table.append(
                {
                    "measure": measure, "errors": errors, "nodes": nodes, "value": own[0], "low": low[0],
                    "high": high[0], "random_circuits": len(chance),
                    "random_mean": chance.mean() if len(chance) else np.nan,
                    "random_low": chance.min(initial=np.inf) if len(chance) else np.nan,
                    "random_high": chance.max(initial=-np.inf) if len(chance) else np.nan,
                }
            )  # fmt: skip
    curves = pd.DataFrame(table)
    return curves.sort_values(["measure", "errors", "nodes"], kind="stable").reset_index(drop=True)


def _values(
    of_circuit: pd.DataFrame, shares: Float[ndarray, "measured 1+resample"], measure: str
) -> Float[ndarray, "1+resample"] | None:
    """The measure of one circuit; None where it was not run for it."""
    whole = of_circuit.index[of_circuit["measure"] == ("faithfulness" if measure == "minimality" else measure)]
    if measure != "minimality":
        row: Float[ndarray, "1+resample"] = shares[whole[0]]
        return row
    without = of_circuit.index[of_circuit["measure"] == "less one node"]
    if not len(without):
        return None
    losses: Float[ndarray, "1+resample"] = np.median(shares[whole[0]] - shares[without], axis=0)
    return losses
