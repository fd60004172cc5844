"""The genomic study: from sequences to probes with every control."""
