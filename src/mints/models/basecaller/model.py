"""A basecaller: convolutions, the one encoder entered at its first block, upsampling, and a head.

    output = basecaller.run(signal, sites=["blocks.*.hook_resid_post"], interventions={"blocks.2.attn.hook_z": f})
    output.scores, output.cache["blocks.0.hook_resid_post"]

Sites, interventions and partial runs are the encoder's. `run_from(layer, residual)` gives exactly what the full run
gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mints.models.basecaller.layers import Front, LabelHead, LinearUpsample, TransitionHead
from mints.models.basecaller.settings import BonitoConfig
from mints.models.encoder import Encoder
from mints.models.sites import Intervention


class BasecallerOutput(NamedTuple):
    """Result of one run."""

    scores: Float[Tensor, "time read score"]
    """Of the CRF's transitions (`crf.py`), or the labels' log-probabilities (`ctc.py`)."""

    cache: dict[str, Tensor]
    """Values at the sites that were asked for, interventions included."""


class Basecaller(nn.Module):
    """Bonito's transformer basecaller."""

    def __init__(self, config: BonitoConfig, *, fused_attention: bool = False) -> None:
        """`fused_attention` trades bitwise equality with explicit attention for speed."""
        super().__init__()
        parts = config.model.encoder
        self.config = config
        self.front = Front(parts.conv)
        self.encoder = Encoder(config.encoder_architecture(), fused_attention=fused_attention)
        self.upsample = None if parts.upsample is None else LinearUpsample(parts.upsample)
        self.head: TransitionHead | LabelHead
        if parts.crf is not None:
            self.head = TransitionHead(parts.crf)
        else:
            self.head = LabelHead(self.encoder.architecture.d_model, len(config.alphabet))

    @property
    def alphabet(self) -> tuple[str, ...]:
        """Labels; the first is the blank or the stay."""
        return self.config.alphabet

    @property
    def state_length(self) -> int | None:
        """Bases per state of the CRF; None for a CTC head."""
        crf = self.config.model.encoder.crf
        return None if crf is None else crf.state_len

    @property
    def stride(self) -> int:
        """Samples per position of the encoder."""
        return self.front.stride

    @property
    def samples_per_score(self) -> int:
        """Samples per time step of the scores."""
        return self.stride // self.config.model.encoder.upsampling

    def run(
        self,
        signal: Float[Tensor, "read sample"],
        *,
        sites: Iterable[str] = (),
        interventions: Mapping[str, Intervention] | None = None,
    ) -> BasecallerOutput:
        """Scores of normalised signals of one length, values at `sites`, under `interventions`.

        Raises UsageError for a site or pattern that the encoder does not pass.
        """
        return self.run_from(0, self.embed(signal), sites=sites, interventions=interventions)

    def embed(self, signal: Float[Tensor, "read sample"]) -> Float[Tensor, "read pos d_model"]:
        """What the encoder's first block reads."""
        positions: Tensor = self.front(signal)
        return positions

    def run_from(
        self,
        layer: int,
        residual: Float[Tensor, "read pos d_model"],
        *,
        sites: Iterable[str] = (),
        interventions: Mapping[str, Intervention] | None = None,
    ) -> BasecallerOutput:
        """Go on from `blocks.{layer}.hook_resid_pre` = `residual`; otherwise as `run`."""
        output = self.encoder.run_from(layer, residual, sites=sites, interventions=interventions)
        return BasecallerOutput(self.scores_of(output.residual), output.cache)

    def scores_of(self, residual: Float[Tensor, "read pos d_model"]) -> Float[Tensor, "time read score"]:
        """Scores from what the encoder's last block leaves."""
        scores: Tensor = self.head(residual if self.upsample is None else self.upsample(residual))
        return scores

    def forward(self, signal: Float[Tensor, "read sample"]) -> Float[Tensor, "time read score"]:
        """Scores."""
        return self.run(signal).scores


def randomly_initialised(config: BonitoConfig, seed: int, *, fused_attention: bool = False) -> Basecaller:
    """An untrained basecaller: the start of training, and the random-initialisation control.

    Matrices are normal with Xavier's deviation √(2 / (inputs + outputs)); inside the blocks those of the values, of the
    attention's output and of the feed-forward are smaller by deep-norm's β (Wang et al. 2022). Biases 0, norms 1.
    """
    basecaller = Basecaller(config, fused_attention=fused_attention)
    gain = config.model.encoder.transformer_encoder.layer.deepnorm_beta
    width = basecaller.encoder.architecture.d_model
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in basecaller.named_parameters():
            if parameter.ndim == 1:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
                continue
            of_qkv = name.endswith("attn.qkv.weight")
            outputs, inputs = (width, width) if of_qkv else (len(parameter), parameter[0].numel())
            parameter.normal_(0.0, (2 / (inputs + outputs)) ** 0.5, generator=generator)
            if of_qkv:
                parameter[2 * width :].mul_(gain)
            elif ".blocks." in name:
                parameter.mul_(gain)
    return basecaller.eval()
