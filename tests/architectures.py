"""Small encoders of every kind."""

import torch

from mints.models.architecture import Architecture
from mints.models.encoder import randomly_initialised

POST = Architecture(
    vocabulary_size=30, d_model=24, n_layers=3, n_heads=6, d_mlp=32, norm_placement="post", norm_epsilon=1e-12,
    position="alibi", mlp="geglu", mlp_input_bias=False, mlp_output_bias=True, pad_id=3, embedding_norm=True,
    token_types=2,
)  # fmt: skip
PRE = Architecture(
    vocabulary_size=30, d_model=24, n_layers=3, n_heads=4, d_mlp=32, norm_placement="pre", norm_epsilon=1e-5,
    position="rotary", mlp="swiglu", mlp_input_bias=False, mlp_output_bias=False, pad_id=1, embedding_norm=False,
    tied_head=False,
)  # fmt: skip
LEARNED = Architecture(
    vocabulary_size=30, d_model=24, n_layers=2, n_heads=4, d_mlp=32, norm_placement="post", norm_epsilon=1e-12,
    position="learned", mlp="gelu", mlp_input_bias=True, mlp_output_bias=True, pad_id=0, embedding_norm=True,
    token_types=2, max_positions=16,
)  # fmt: skip

DEEP = Architecture(
    vocabulary_size=30, d_model=24, n_layers=3, n_heads=4, d_mlp=32, norm_placement="deepnorm", norm_kind="rms",
    norm_epsilon=1e-5, deepnorm_alpha=1.5, position="rotary", attention_window=(3, 2), mlp="swiglu",
    mlp_input_bias=False, mlp_output_bias=False, qkv_bias=False, pad_id=1, embedding_norm=False, tied_head=False,
)  # fmt: skip


def scattered(architecture, spread=0.2):
    """Weights far from their initial values, so that biases matter and attention is not even."""
    model = randomly_initialised(architecture, seed=5)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * spread)
    return model
