"""Words and numbers that a circuit's tables and graphs share."""

ERROR = -1
"""Index that stands for a site's error node among its latents."""

TO_BEHAVIOUR, TO_FEATURE = "feat->behavior", "feat->feat"
"""Kinds of edges, in the words of the published graph schema."""
