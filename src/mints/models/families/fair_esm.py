"""ESM-2 as fair-esm publishes it: one `.pt` file, other tensor names than the hub's, and no config.json.

The file is a table of `model` (tensors) and `cfg` (the settings of its training, under `cfg["model"]`). The head that
predicts contacts lies in a second file, `NAME-contact-regression.pt`, which nothing here reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mints.errors import MintsError
from mints.models.families.esm import ESM2
from mints.models.known import nearest

PREFIX = re.compile(r"^encoder\.(sentence_encoder\.)?")
IN_LAYER = re.compile(r"^layers\.(?P<layer>\d+)\.(?P<module>.+)\.(?P<part>weight|bias|inv_freq)$")
MODULES = {
    "self_attn_layer_norm": "attention.LayerNorm",
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.rot_emb": "attention.self.rotary_embeddings",
    "self_attn.out_proj": "attention.output.dense",
    "final_layer_norm": "LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
}
OUTSIDE = {
    "embed_tokens.weight": "esm.embeddings.word_embeddings.weight",
    "emb_layer_norm_after.weight": "esm.encoder.emb_layer_norm_after.weight",
    "emb_layer_norm_after.bias": "esm.encoder.emb_layer_norm_after.bias",
    "contact_head.regression.weight": "esm.contact_head.regression.weight",
    "contact_head.regression.bias": "esm.contact_head.regression.bias",
    "lm_head.weight": "lm_head.decoder.weight",
}
EMBEDDING = OUTSIDE["embed_tokens.weight"]
FIRST_LAYER = "esm.encoder.layer.0"


def is_fair_esm(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these tensors have fair-esm's names, with or without its prefixes."""
    names = {PREFIX.sub("", name) for name in tensors}
    return {"embed_tokens.weight", "layers.0.self_attn_layer_norm.weight"} <= names


def hub_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under the hub's names; a name that ESM-2 does not have stays, for the loader to refuse."""
    return {_hub_name(name): tensor for name, tensor in tensors.items()}


def _hub_name(name: str) -> str:
    bare = PREFIX.sub("", name)
    found = IN_LAYER.match(bare)
    if found and found["module"] in MODULES:
        return f"esm.encoder.layer.{found['layer']}.{MODULES[found['module']]}.{found['part']}"
    # The rest of the head has the same names in both layouts.
    return OUTSIDE.get(bare, bare if bare.startswith("lm_head.") else name)


def hub_configuration(tensors: Mapping[str, Tensor], settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """config.json of these tensors (hub's names): sizes from their shapes, heads from the file's settings.

    Raises MintsError where nothing tells the number of heads, or a tensor that the sizes are read from is missing.
    """
    try:
        vocabulary, width = tensors[EMBEDDING].shape
        mlp_width = tensors[f"{FIRST_LAYER}.intermediate.dense.weight"].shape[0]
    except (KeyError, ValueError):
        raise MintsError(f"checkpoint {where} is not {ESM2.title}: its embedding or first layer is not whole") from None
    layers = {int(name.split(".")[3]) for name in tensors if name.startswith("esm.encoder.layer.")}
    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": len(layers),
        "intermediate_size": mlp_width,
    }
    return {
        **sizes,
        "num_attention_heads": _heads(tensors, settings, sizes, where),
        "layer_norm_eps": 1e-5,
        "position_embedding_type": "rotary",
        "emb_layer_norm_before": False,
        "token_dropout": bool(settings.get("token_dropout", True)),
        "pad_token_id": 1,
        "mask_token_id": 32,
    }


def _heads(tensors: Mapping[str, Tensor], settings: Mapping[str, Any], sizes: Mapping[str, int], where: str) -> int:
    """From the settings, else the width of a head's rotation, else the published checkpoint of these sizes."""
    rotation = tensors.get(f"{FIRST_LAYER}.attention.self.rotary_embeddings.inv_freq")
    known = nearest(ESM2.name, sizes)
    if "encoder_attention_heads" in settings:
        heads = settings["encoder_attention_heads"]
    elif rotation is not None:
        heads = sizes["hidden_size"] / (2 * len(rotation))
    elif known is not None and known.describes(sizes):
        heads = known.configuration["num_attention_heads"]
    else:
        raise MintsError(f"checkpoint {where} does not say how many attention heads it has, and no published one fits")
    if heads != int(heads) or heads <= 0 or sizes["hidden_size"] % heads:
        raise MintsError(f"checkpoint {where} has {heads} attention heads, of which its width is no multiple")
    return int(heads)
