"""Nanopore signal as data: reading, normalisation, chunks, k-mer levels, simulated current, and pairs for patching."""
