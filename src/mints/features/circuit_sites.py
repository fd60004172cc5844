"""Nodes of a feature circuit: the latents of several sites and one error node a site; and what they are on average."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from mints.analysis.patching import PairTokens, Readout
from mints.errors import UsageError
from mints.features.autoencoder import SparseAutoencoder
from mints.features.restart import Restart, adding, restart_from, sites_to_keep
from mints.models.activations import TOKENS_PER_BATCH
from mints.models.batching import in_batches, pad, token_counts
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.sites import Intervention, site_names
from mints.models.tokenizers import Encoding


class Site(NamedTuple):
    """A place in the encoder with its dictionary."""

    name: str
    autoencoder: SparseAutoencoder

    @property
    def layer(self) -> int:
        """Layer of the encoder that it lies in."""
        return int(self.name.split(".")[1])

    @property
    def is_output(self) -> bool:
        """Whether it is what its layer hands to the next one."""
        return self.name.endswith(".hook_resid_post")


class Reference(NamedTuple):
    """What the nodes of a site are on average, over all content tokens of reference sequences."""

    mean: Float[Tensor, "d_sae"]
    """Mean of each latent, tokens where it is silent included: what ablation sets it to."""

    error: Float[Tensor, "d_in"]
    """Mean of what the dictionary does not reconstruct: what ablation of the error node sets it to."""

    frequency: Float[Tensor, "d_sae"]
    """Share of tokens on which the latent is active."""

    active_mean: Float[Tensor, "d_sae"]
    """Mean of each latent over the tokens on which it is active; 0 where there are none."""


class CleanRun(NamedTuple):
    """The unaltered run of one batch of sequences, kept where others take it up."""

    rows: Int[ndarray, "sequence"]
    """Which of the given sequences these are."""

    batch: PairTokens
    restarts: dict[str, Restart]
    """By site."""

    readout: Float[Tensor, "sequence"]

    def activations(self, site: Site) -> Float[Tensor, "sequence pos d_in"]:
        """Values at a site, heads side by side."""
        return self.restarts[site.name].x.float()


def in_order(sites: Sequence[Site], encoder: Encoder, readout: Readout) -> list[Site]:
    """The sites in the order in which a run passes them.

    Raises UsageError for fewer than two sites, for one that the model does not have, that is no place inside a layer,
    that is given twice, or that lies above the read-out, where nothing could show.
    """
    passed = [name for name in site_names(encoder.architecture) if name.startswith("blocks.")]
    names = [site.name for site in sites]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise UsageError(f"a feature circuit needs two sites or more, each once, not {', '.join(names) or 'none'}")
    for site in sites:
        if site.name not in passed:
            raise UsageError(f"site {site.name} is no place inside a layer of this model")
        if site.layer > readout.layer:
            raise UsageError(f"site {site.name} lies above the read-out, which reads layer {readout.layer}")
    return sorted(sites, key=lambda site: passed.index(site.name))


def clean_runs(
    encoder: Encoder,
    sites: Sequence[Site],
    encodings: Sequence[Encoding],
    readout: Readout,
    compute: Compute,
    tokens_per_batch: int | None = None,
) -> Iterator[CleanRun]:
    """Run all sequences up to the read-out, in batches of similar lengths."""
    last = f"blocks.{readout.layer}.hook_resid_post"
    kept = [last, *(name for site in sites for name in sites_to_keep(encoder.architecture, site.name))]

    def run(rows: Int[ndarray, "sequence"]) -> CleanRun:
        padded = pad(encodings, rows, encoder.architecture.pad_id)
        batch = PairTokens(*(part.to(compute.device) for part in (padded.tokens, padded.real, padded.content)))
        with compute.inference():
            cache = encoder.run(batch.tokens, batch.real, sites=kept, stop=readout.layer + 1).cache
            restarts = {site.name: restart_from(cache, batch.real, site.name) for site in sites}
            return CleanRun(rows, batch, restarts, readout(encoder, cache[last], batch))

    budget = tokens_per_batch or TOKENS_PER_BATCH[compute.device.type]
    for _, result in in_batches(run, token_counts(encodings), budget, compute):
        yield result


class Resumed(NamedTuple):
    """A run taken up at a site with other values there."""

    readout: Float[Tensor, "row"]
    activations: dict[str, Float[Tensor, "row pos d_in"]]
    """Values at the later sites, heads side by side."""


def resume(
    encoder: Encoder,
    clean: CleanRun,
    site: Site,
    sequences: Int[Tensor, "row"],
    displacement: Float[Tensor, "row pos d_in"],
    readout: Readout,
    later: Sequence[Site] = (),
    interventions: Mapping[str, Intervention] | None = None,
) -> Resumed:
    """Add a displacement to a site's clean values and run what lies above; one row per sequence and displacement.

    sequences: which sequence of the clean batch each row is; one sequence may stand in many rows. later: sites whose
    values are read. interventions: at sites above.
    """
    batch = PairTokens(*(part[sequences] for part in clean.batch))
    last = f"blocks.{readout.layer}.hook_resid_post"
    output = (
        clean.restarts[site.name]
        .rows(sequences)
        .run(
            encoder,
            adding(displacement),
            sites=[*(other.name for other in later), last],
            interventions=interventions,
            stop=readout.layer + 1,
        )
    )
    activations = {other.name: output.cache[other.name].flatten(2).float() for other in later}
    return Resumed(readout(encoder, output.cache[last], batch), activations)


def measure_references(
    encoder: Encoder,
    sites: Sequence[Site],
    encodings: Sequence[Encoding],
    readout: Readout,
    compute: Compute,
    tokens_per_batch: int | None = None,
) -> dict[str, Reference]:
    """Averages of every node of every site over the content tokens of these sequences, accumulated in float64."""
    sums: dict[str, list[Tensor]] = {}
    tokens = 0
    for clean in clean_runs(encoder, sites, encodings, readout, compute, tokens_per_batch):
        tokens += int(clean.batch.content.sum())
        for site in sites:
            with compute.inference():
                parts = _sums(site.autoencoder, clean.activations(site)[clean.batch.content])
            before = sums.get(site.name)
            sums[site.name] = parts if before is None else [a + b for a, b in zip(before, parts, strict=True)]
    references = {}
    for name, (total, active, error) in sums.items():
        mean, frequency, error = (part.div(tokens).float() for part in (total, active, error))
        references[name] = Reference(mean, error, frequency, total.div(active.clamp(min=1)).float())
    return references


def _sums(autoencoder: SparseAutoencoder, x: Float[Tensor, "token d_in"]) -> list[Tensor]:
    latents, output = autoencoder(x)
    return [latents.double().sum(0), (latents > 0).double().sum(0), (x - output).double().sum(0)]


def narrowed(autoencoder: SparseAutoencoder, latents: Int[Tensor, "some"]) -> SparseAutoencoder:
    """The dictionary of these latents alone: the same values for them, at their share of the cost.

    Raises ValueError for a topk dictionary, whose latents compete with all the others.
    """
    if autoencoder.rule == "topk":
        raise ValueError("a latent of a topk dictionary cannot be computed without the others")
    some = SparseAutoencoder(
        autoencoder.d_in,
        len(latents),
        autoencoder.rule,
        subtracts_decoder_bias=autoencoder.subtracts_decoder_bias,
        normalisation=autoencoder.normalisation,
    )
    whole = autoencoder.state_dict()
    columns = {"W_enc": whole["W_enc"][:, latents], "W_dec": whole["W_dec"][latents]}
    columns |= {name: whole[name][latents] for name in ("b_enc", "threshold")}
    some.load_state_dict(whole | columns)
    return some.to(autoencoder.W_enc.device).requires_grad_(False)


class LatentReader:
    """Values of chosen latents of a dictionary, as cheaply as its rule allows."""

    def __init__(self, autoencoder: SparseAutoencoder, latents: Int[Tensor, "some"]) -> None:
        self.latents = latents
        self.all_needed = autoencoder.rule == "topk"
        self.autoencoder = autoencoder if self.all_needed else narrowed(autoencoder, latents)

    def __call__(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... some"]:
        """Values in the order in which the latents were given."""
        latents = self.autoencoder.encode(x)
        return latents[..., self.latents] if self.all_needed else latents


def content_mask(clean: CleanRun) -> Bool[Tensor, "sequence pos 1"]:
    """Places that are ablated and counted: all but pads and special tokens."""
    return clean.batch.content[..., None]
