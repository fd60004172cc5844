"""Tokenizers of the checkpoint families: ids, and the nucleotides that each token stands for."""

from mints.models.tokenizers.base import Encoding, Tokenizer
from mints.models.tokenizers.bpe import BytePairTokenizer, train_bpe
from mints.models.tokenizers.kmer import FixedKmerTokenizer
from mints.models.tokenizers.loading import load_tokenizer
from mints.models.tokenizers.overlapping import OverlappingKmerTokenizer
from mints.models.tokenizers.residue import ResidueTokenizer

__all__ = [
    "BytePairTokenizer",
    "Encoding",
    "FixedKmerTokenizer",
    "OverlappingKmerTokenizer",
    "ResidueTokenizer",
    "Tokenizer",
    "load_tokenizer",
    "train_bpe",
]
