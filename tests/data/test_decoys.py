"""Hydropathy of residues and windows, and decoys that match a stretch in it."""

import numpy as np
import pytest

from mints.data.decoys import Stretch, matched_decoys
from mints.data.hydropathy import hydropathy, stretch_hydropathy, windowed_hydropathy


def test_residues_have_the_published_values_and_unknown_letters_count_as_none():
    np.testing.assert_array_equal(hydropathy("IRGWX"), [4.5, -4.5, -0.4, -0.9, 0.0])
    assert hydropathy("ACDEFGHIKLMNPQRSTVWY").sum() == pytest.approx(-9.8)  # of the published table


def test_a_window_is_cut_at_the_ends_of_the_protein():
    sequence = "IIRKLVD"
    values = hydropathy(sequence)
    expected = [values[max(0, i - 2) : i + 3].mean() for i in range(7)]
    np.testing.assert_allclose(windowed_hydropathy(sequence, 5), expected)
    np.testing.assert_allclose(windowed_hydropathy("IR", 19), [0.0, 0.0])


def test_stretches_of_one_length_are_whole():
    values = hydropathy("IIRKLVD")
    np.testing.assert_allclose(stretch_hydropathy("IIRKLVD", 3), [values[i : i + 3].mean() for i in range(5)])
    assert len(stretch_hydropathy("IIR", 4)) == 0


def stretch(protein, start, sequence):
    return Stretch(protein, start, start + len(sequence), round(float(hydropathy(sequence).mean()), 9))


def test_the_nearest_stretch_of_a_free_host_is_taken_and_the_most_hydrophobic_choose_first():
    hosts = ["DDDDLLLLDDDD", "DDDDVVVVDDDD", "DDDDDDDDDDDD"]  # best windows of four: 3.8, 4.2, -3.5
    own = [stretch(0, 3, "LLLL"), stretch(1, 0, "LIVV"), stretch(2, 5, "IIII")]  # 3.8, 4.175, 4.5
    matches = matched_decoys(own, hosts, 0.35)
    # IIII takes the V host (4.2); LIVV, next, finds nothing within 0.35 but L (3.8 is too far); LLLL takes the L host.
    assert [match.own for match in matches] == [own[0], own[2]]
    assert [match.decoy for match in matches] == [stretch(0, 4, "LLLL"), stretch(1, 4, "VVVV")]
    served = matched_decoys(own, hosts, 0.4)  # now LIVV is served before LLLL
    assert served == [(own[1], stretch(0, 4, "LLLL")), (own[2], stretch(1, 4, "VVVV"))]
    assert matched_decoys(own, [], 9.0) == []


def test_matching_agrees_with_a_search_of_every_stretch():
    rng = np.random.default_rng(0)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    hosts = ["".join(rng.choice(letters, size=size)) for size in rng.integers(3, 40, size=30)]
    own = []
    for protein in range(20):
        sequence = "".join(rng.choice(letters, size=int(rng.integers(4, 12))))
        own.append(stretch(protein, 7, sequence))
    free, expected = set(range(30)), {}
    for index in sorted(range(20), key=lambda i: -own[i].hydropathy):
        length = own[index].end - own[index].start
        found = [
            (round(abs(hydropathy(hosts[h][s : s + length]).mean() - own[index].hydropathy), 9), h, s)
            for h in sorted(free)
            for s in range(len(hosts[h]) - length + 1)
        ]
        if found and min(found)[0] <= 0.015:
            _, host, start = min(found)
            free.remove(host)
            expected[index] = (host, start)
    matches = matched_decoys(own, hosts, 0.015)
    assert {own.index(match.own): match.decoy[:2] for match in matches} == expected
    assert 5 < len(matches) < 20


def test_decoys_at_the_start_begin_with_the_first_residue():
    hosts = ["DDDDLLLL", "LLLDDDDD", "VV"]
    (match,) = matched_decoys([stretch(0, 0, "LLLI")], hosts, 3.0, at_start=True)
    assert match.decoy == stretch(1, 0, "LLLD")
