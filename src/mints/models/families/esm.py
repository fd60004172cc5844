"""The ESM code family: ESM-2, and Nucleotide Transformer v1 and v2.

All are pre-norm with separate queries, keys and values. They differ in positions (rotary or learned), feed-forward
(GELU with biases or bias-free SwiGLU), token dropout and whether the head is tied (Lin et al. 2023; Dalla-Torre et al.
2025).

Nucleotide Transformer v1 runs as transformers' own EsmForMaskedLM. Certain of it: learned positions (1,002 rows, the
first token in row 2), GELU feed-forward with biases, no norm on the embeddings, a head of its own matrix, 4,105 tokens;
they follow from its numbers of parameters. Whether it uses token dropout is read from its config.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mints.models.architecture import Architecture
from mints.models.families.base import QKV, Family, Rule, layer_rules, official_sizes, sizes, with_bias

BLOCK = {
    **with_bias("ln1", "attention.LayerNorm"),
    **with_bias("attn.qkv", *(f"attention.self.{part}" for part in QKV)),
    **with_bias("attn.output", "attention.output.dense"),
    **with_bias("ln2", "LayerNorm"),
}
BIASED_MLP = {**with_bias("mlp.input", "intermediate.dense"), **with_bias("mlp.output", "output.dense")}
BIAS_FREE_MLP = {"mlp.input.weight": ("intermediate.dense.weight",), "mlp.output.weight": ("output.dense.weight",)}
IGNORED = (
    "esm.contact_head.*",
    "esm.pooler.*",
    "esm.embeddings.position_ids",
    "*.rotary_embeddings.inv_freq",
)
MLP_BIAS = "esm.encoder.layer.0.intermediate.dense.bias"


def _is_rotary(configuration: Mapping[str, Any]) -> bool:
    return bool(configuration.get("position_embedding_type", "absolute") == "rotary")


def _architecture(configuration: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Architecture:
    biased_mlp = MLP_BIAS in tensors
    rotary = _is_rotary(configuration)
    pad_id = configuration.get("pad_token_id", 1)
    return Architecture(
        **sizes(configuration),
        norm_placement="pre",
        norm_epsilon=configuration.get("layer_norm_eps", 1e-12),
        position="rotary" if rotary else "learned",
        mlp="gelu" if biased_mlp else "swiglu",
        mlp_input_bias=biased_mlp,
        mlp_output_bias=biased_mlp,
        pad_id=pad_id,
        embedding_norm=bool(configuration.get("emb_layer_norm_before")),
        max_positions=None if rotary else configuration["max_position_embeddings"],
        position_offset=0 if rotary else pad_id + 1,
        token_dropout_mask_id=configuration["mask_token_id"] if configuration.get("token_dropout") else None,
        masked_language_head="lm_head.dense.weight" in tensors,
        tied_head=bool(configuration.get("tie_word_embeddings", True)) and not _has_own_decoder(tensors),
    )


def _has_own_decoder(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the file carries an output matrix other than the embedding, whatever the configuration says."""
    decoder = tensors.get("lm_head.decoder.weight")
    return decoder is not None and not torch.equal(decoder, tensors["esm.embeddings.word_embeddings.weight"])


def _configuration(architecture: Architecture) -> dict[str, Any]:
    rotary = architecture.position == "rotary"
    return {
        "architectures": ["EsmForMaskedLM"],
        **official_sizes(architecture),
        "layer_norm_eps": architecture.norm_epsilon,
        "position_embedding_type": "rotary" if rotary else "absolute",
        **({} if rotary else {"max_position_embeddings": architecture.max_positions}),
        "emb_layer_norm_before": architecture.embedding_norm,
        "token_dropout": architecture.token_dropout_mask_id is not None,
        "add_bias_fnn": architecture.mlp_input_bias,
        "tie_word_embeddings": architecture.tied_head,
        "pad_token_id": architecture.pad_id,
        "mask_token_id": architecture.token_dropout_mask_id if architecture.token_dropout_mask_id is not None else 2,
    }


def _rules(architecture: Architecture) -> list[Rule]:
    norm_before = [Rule(f"embed_norm.{p}", (f"esm.embeddings.layer_norm.{p}",)) for p in ("weight", "bias")]
    head = [
        Rule("head.dense.weight", ("lm_head.dense.weight",)),
        Rule("head.dense.bias", ("lm_head.dense.bias",)),
        Rule("head.norm.weight", ("lm_head.layer_norm.weight",)),
        Rule("head.norm.bias", ("lm_head.layer_norm.bias",)),
        Rule("head.bias", ("lm_head.bias",)),
        *([] if architecture.tied_head else [Rule("head.decoder", ("lm_head.decoder.weight",))]),
    ]
    block = BLOCK | (BIASED_MLP if architecture.mlp_input_bias else BIAS_FREE_MLP)
    learned = [Rule("positions.weight", ("esm.embeddings.position_embeddings.weight",))]
    return [
        Rule("embed.weight", ("esm.embeddings.word_embeddings.weight",)),
        *(learned if architecture.position == "learned" else []),
        *(norm_before if architecture.embedding_norm else []),
        *layer_rules(architecture, block, "esm.encoder.layer.{layer}"),
        *(Rule(f"ln_final.{p}", (f"esm.encoder.emb_layer_norm_after.{p}",)) for p in ("weight", "bias")),
        *(head if architecture.masked_language_head else []),
    ]


def _is_esm(tensors: Mapping[str, Tensor]) -> bool:
    return "esm.encoder.layer.0.attention.LayerNorm.weight" in tensors


NUCLEOTIDE_TRANSFORMER = Family(
    name="nucleotide_transformer",
    title="Nucleotide Transformer",
    reference="InstaDeepAI/nucleotide-transformer-v2-50m-multi-species",
    prefix="esm.",
    architecture=_architecture,
    configuration=_configuration,
    rules=_rules,
    # v2's feed-forward has no biases; v1 is plain ESM with learned positions.
    recognises=lambda t: _is_esm(t) and (MLP_BIAS not in t or "esm.embeddings.position_embeddings.weight" in t),
    # v2 carries an unused position table beside its rotary embedding.
    ignored=(*IGNORED, "esm.embeddings.position_embeddings.weight"),
    tied=("lm_head.decoder.weight",),
)

ESM2 = Family(
    name="esm2",
    title="ESM-2",
    reference="facebook/esm2_t6_8M_UR50D",
    prefix="esm.",
    architecture=_architecture,
    configuration=_configuration,
    rules=_rules,
    recognises=lambda t: _is_esm(t) and MLP_BIAS in t,
    ignored=(*IGNORED, "esm.embeddings.position_embeddings.weight"),
    tied=("lm_head.decoder.weight",),
)
