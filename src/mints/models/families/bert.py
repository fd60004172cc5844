"""BERT and DNABERT: post-norm, learned positions, GELU (Devlin et al. 2019; Ji et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mints.models.architecture import Architecture
from mints.models.families.base import QKV, Family, Rule, layer_rules, official_sizes, sizes, with_bias
from mints.models.families.dnabert2 import BERT_EMBEDDINGS, BERT_HEAD, has_bert_head

BLOCK = {
    **with_bias("attn.qkv", *(f"attention.self.{part}" for part in QKV)),
    **with_bias("attn.output", "attention.output.dense"),
    **with_bias("ln1", "attention.output.LayerNorm"),
    **with_bias("mlp.input", "intermediate.dense"),
    **with_bias("mlp.output", "output.dense"),
    **with_bias("ln2", "output.LayerNorm"),
}
POSITIONS = "bert.embeddings.position_embeddings.weight"


def _architecture(configuration: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Architecture:
    return Architecture(
        **sizes(configuration),
        norm_placement="post",
        norm_epsilon=configuration.get("layer_norm_eps", 1e-12),
        position="learned",
        mlp="gelu",
        mlp_input_bias=True,
        mlp_output_bias=True,
        pad_id=configuration.get("pad_token_id", 0),
        embedding_norm=True,
        token_types=configuration.get("type_vocab_size", 2),
        max_positions=configuration["max_position_embeddings"],
        masked_language_head=has_bert_head(tensors),
    )


def _configuration(architecture: Architecture) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "architectures": ["BertForMaskedLM"],
        **official_sizes(architecture),
        "hidden_act": "gelu",
        "layer_norm_eps": architecture.norm_epsilon,
        "type_vocab_size": architecture.token_types,
        "max_position_embeddings": architecture.max_positions,
        "pad_token_id": architecture.pad_id,
    }


def _rules(architecture: Architecture) -> list[Rule]:
    head = [*BERT_HEAD, Rule("head.bias", ("cls.predictions.bias",))]
    return [
        *BERT_EMBEDDINGS,
        Rule("positions.weight", (POSITIONS,)),
        *layer_rules(architecture, BLOCK, "bert.encoder.layer.{layer}"),
        *(head if architecture.masked_language_head else []),
    ]


BERT = Family(
    name="bert",
    title="BERT/DNABERT",
    reference="zhihan1996/DNA_bert_6",
    prefix="bert.",
    architecture=_architecture,
    configuration=_configuration,
    rules=_rules,
    recognises=lambda tensors: POSITIONS in tensors and any(".attention.self.query." in name for name in tensors),
    # The pooler and next-sentence head read [CLS] alone; MINTS reads token states.
    ignored=("bert.pooler.*", "cls.seq_relationship.*", "bert.embeddings.position_ids", "cls.predictions.decoder.bias"),
    tied=("cls.predictions.decoder.weight",),
)
