"""The place where aligned sequences agree."""

from math import log2

import numpy as np
import pytest

from mints.data.conservation import column_information, conserved_site
from mints.errors import MintsError


def with_site(site, at, count=200, length=60, noise=0.0):
    """Random sequences that carry a site at one place, each of its letters replaced with a small probability."""
    rng = np.random.default_rng(1)
    letters = rng.choice(list("ACGT"), size=(count, length))
    kept = rng.random((count, len(site))) >= noise
    letters[:, at : at + len(site)] = np.where(kept, list(site), letters[:, at : at + len(site)])
    return ["".join(row) for row in letters]


def test_information_is_two_bits_less_the_entropy_of_a_column():
    sequences = ["ACGA", "ACTA", "ACGN", "AGTC"]
    three_to_one = 2 + (0.75 * log2(0.75) + 0.25 * log2(0.25))
    two_to_one = 2 + (2 / 3 * log2(2 / 3) + 1 / 3 * log2(1 / 3))
    assert column_information(sequences) == pytest.approx([2.0, three_to_one, 1.0, two_to_one])
    assert column_information(["AN", "CN"]) == pytest.approx([1.0, 0.0])


def test_a_site_is_found_where_it_stands_with_its_fixed_letters():
    sequences = with_site("AAGGTAAGT", at=23, noise=0.4)
    fixed = [sequence[:26] + "GT" + sequence[28:] for sequence in sequences]
    assert conserved_site(fixed, 9) == (23, (3, 5))


def test_sequences_without_a_fixed_site_are_refused_with_what_they_have():
    with pytest.raises(MintsError, match=r"no site at a fixed place.* have 0.\d\d bits of information each"):
        conserved_site(with_site("", at=0), 9)
    with pytest.raises(MintsError, match="4 positions in common, fewer than a site of 9"):
        conserved_site(["ACGT", "ACGTAAAAAAAA"], 9)
