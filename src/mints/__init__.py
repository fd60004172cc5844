"""MINTS: Mechanistic Interpretability for Nucleotide Transformer Sequences."""

__version__ = "0.1.0"
