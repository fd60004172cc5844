"""SAELens, where it is installed."""

import pytest
from optional import oracle


@pytest.fixture(scope="session")
def sae_lens():
    """The library; it is imported where it is used, since that takes seconds."""
    return oracle("sae_lens")
