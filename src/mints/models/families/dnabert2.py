"""DNABERT-2: post-norm, ALiBi, GEGLU, byte-pair tokens (Zhou et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mints.models.architecture import Architecture
from mints.models.families.base import Family, Rule, layer_rules, official_sizes, sizes, with_bias

BERT_EMBEDDINGS = [
    Rule("embed.weight", ("bert.embeddings.word_embeddings.weight",)),
    Rule("token_types.weight", ("bert.embeddings.token_type_embeddings.weight",)),
    Rule("embed_norm.weight", ("bert.embeddings.LayerNorm.weight",)),
    Rule("embed_norm.bias", ("bert.embeddings.LayerNorm.bias",)),
]
BERT_HEAD = [
    Rule("head.dense.weight", ("cls.predictions.transform.dense.weight",)),
    Rule("head.dense.bias", ("cls.predictions.transform.dense.bias",)),
    Rule("head.norm.weight", ("cls.predictions.transform.LayerNorm.weight",)),
    Rule("head.norm.bias", ("cls.predictions.transform.LayerNorm.bias",)),
]
BLOCK = {
    **with_bias("attn.qkv", "attention.self.Wqkv"),
    **with_bias("attn.output", "attention.output.dense"),
    **with_bias("ln1", "attention.output.LayerNorm"),
    "mlp.input.weight": ("mlp.gated_layers.weight",),
    **with_bias("mlp.output", "mlp.wo"),
    **with_bias("ln2", "mlp.layernorm"),
}
PAD_ID = 3
"""The tokenizer's pad; config.json's 0 is [UNK]."""


def _architecture(configuration: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Architecture:
    return Architecture(
        **sizes(configuration),
        norm_placement="post",
        norm_epsilon=configuration.get("layer_norm_eps", 1e-12),
        position="alibi",
        mlp="geglu",
        mlp_input_bias=False,
        mlp_output_bias=True,
        pad_id=PAD_ID,
        embedding_norm=True,
        token_types=configuration.get("type_vocab_size", 2),
        masked_language_head=has_bert_head(tensors),
    )


def has_bert_head(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a BERT-style checkpoint carries its masked-language head."""
    return any(name.startswith("cls.predictions.") for name in tensors)


def _configuration(architecture: Architecture) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "architectures": ["BertForMaskedLM"],
        **official_sizes(architecture),
        "hidden_act": "gelu",
        "layer_norm_eps": architecture.norm_epsilon,
        "type_vocab_size": architecture.token_types,
        "alibi_starting_size": 512,
        "pad_token_id": architecture.pad_id,
    }


def _rules(architecture: Architecture) -> list[Rule]:
    head = [*BERT_HEAD, Rule("head.bias", ("cls.predictions.decoder.bias",))]
    layers = layer_rules(architecture, BLOCK, "bert.encoder.layer.{layer}")
    return BERT_EMBEDDINGS + layers + (head if architecture.masked_language_head else [])


DNABERT2 = Family(
    name="dnabert2",
    title="DNABERT-2",
    reference="zhihan1996/DNABERT-2-117M",
    prefix="bert.",
    architecture=_architecture,
    configuration=_configuration,
    rules=_rules,
    recognises=lambda tensors: any(".attention.self.Wqkv." in name for name in tensors),
    # The published file has no pooler: one that turns up would have been random, and nothing here reads it.
    ignored=("bert.pooler.*", "bert.embeddings.position_ids", "bert.embeddings.token_type_ids"),
    tied=("cls.predictions.decoder.weight",),
)
