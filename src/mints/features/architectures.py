"""The kinds of sparse autoencoders that can be trained."""

from __future__ import annotations

from mints.feature_config import DictionaryKind
from mints.features.penalised_kinds import JumpReLU, ReLU
from mints.features.topk_kinds import BatchTopK, MatryoshkaBatchTopK, TopK
from mints.features.training_autoencoder import TrainingAutoencoder

KINDS: dict[DictionaryKind, type[TrainingAutoencoder]] = {
    "relu": ReLU,
    "topk": TopK,
    "batch_topk": BatchTopK,
    "matryoshka_batch_topk": MatryoshkaBatchTopK,
    "jumprelu": JumpReLU,
}
"""Every kind under its name in the configuration."""
