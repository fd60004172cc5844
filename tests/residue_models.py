"""A small ESM-2 of transformers with random weights, and the encoder that is to equal it."""

from typing import NamedTuple

import torch
from transformers import EsmConfig, EsmForMaskedLM

from mints.models.encoder import Encoder
from mints.models.families.esm import ESM2
from mints.models.tokenizers import ResidueTokenizer

LAYERS = 4


class ResidueModel(NamedTuple):
    """One model twice."""

    reference: EsmForMaskedLM
    encoder: Encoder
    tokenizer: ResidueTokenizer


def residue_model(seed=0, spread=0.15):
    """Weights far enough from zero that every residue minds every other."""
    configuration = EsmConfig(
        vocab_size=33, hidden_size=24, num_hidden_layers=LAYERS, num_attention_heads=4, intermediate_size=48,
        position_embedding_type="rotary", token_dropout=True, emb_layer_norm_before=False, layer_norm_eps=1e-5,
        pad_token_id=1, mask_token_id=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    torch.manual_seed(seed)
    reference = EsmForMaskedLM(configuration).eval()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * spread)
    tensors = {name: tensor for name, tensor in reference.state_dict().items() if "contact_head" not in name}
    encoder = ESM2.load(configuration.to_dict(), tensors, "a small ESM-2")
    return ResidueModel(reference, encoder, ResidueTokenizer.generate())
