"""The checkpoint families that the one encoder can load."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mints.errors import MintsError, UsageError
from mints.models.families.base import Family, normalise_names, some
from mints.models.families.bert import BERT
from mints.models.families.dnabert2 import DNABERT2
from mints.models.families.esm import ESM2, NUCLEOTIDE_TRANSFORMER
from mints.models.known import of_family

FAMILIES: dict[str, Family] = {family.name: family for family in (DNABERT2, NUCLEOTIDE_TRANSFORMER, ESM2, BERT)}

__all__ = ["FAMILIES", "Family", "choose_family"]


def choose_family(name: str, tensors: Mapping[str, Tensor], where: str) -> Family:
    """The family called `name`, or for "auto" the one that recognises the tensors.

    Protein and DNA checkpoints of the ESM code family are told apart by their vocabulary, since their tensors have the
    same names. Raises UsageError for an unknown name and MintsError where no family recognises the tensors.
    """
    if name != "auto":
        if name not in FAMILIES:
            raise UsageError(f"unknown family {name!r}: choose auto, {', '.join(FAMILIES)}")
        return FAMILIES[name]
    fitting = [f for f in FAMILIES.values() if f.recognises(normalise_names(tensors, f.prefix))]
    if not fitting:
        found = f"its tensors are {some(sorted(tensors))}"
        raise MintsError(f"checkpoint {where} is of no known family: {found}; known are {_families()}")
    if len(fitting) > 1 and NUCLEOTIDE_TRANSFORMER in fitting:
        return ESM2 if _is_protein(tensors) else NUCLEOTIDE_TRANSFORMER
    return fitting[0]


def _families() -> str:
    """The families with their published checkpoints, in one line."""
    return "; ".join(
        f"{family.title} ({', '.join(known.name for known in of_family(name))})" for name, family in FAMILIES.items()
    )


def _is_protein(tensors: Mapping[str, Tensor]) -> bool:
    embedding = next(tensor for name, tensor in tensors.items() if name.endswith("word_embeddings.weight"))
    return embedding.shape[0] <= 64
