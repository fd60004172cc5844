"""Per-latent evidence in the published viewer's schema, by hand."""

import numpy as np
import pytest
from residue_tokens import residues
from scipy.sparse import csr_array

from mints.features.activations import Tokens
from mints.features.latent_evidence import (
    EXAMPLES,
    NEGATIVES,
    Annotated,
    Traces,
    covered,
    example,
    feature_record,
    runs,
)

PUBLISHED = {
    "accession": str, "sequence": str, "seq_len": int, "behavior": str, "behavior_segments": list,
    "feature_segments": list, "top_positions": list, "max_act": float, "threshold": float,
    "overlap_frac_feature_in_behavior": float,
}  # fmt: skip
"""Keys and types of an example in the published files."""


def test_segments_are_zero_based_and_inclusive():
    assert runs(np.array([1, 1, 0, 0, 1, 0, 1], dtype=bool)) == [(0, 1), (4, 4), (6, 6)]
    assert runs(np.zeros(3, dtype=bool)) == []
    assert covered([(1, 2), (4, 4)], 6).tolist() == [False, True, True, False, True, False]


def test_an_example_has_the_published_keys_and_the_values_of_a_hand_count():
    track = np.zeros(20, dtype=np.float32)
    track[[4, 5, 6, 12]] = [2.0, 8.0, 5.0, 3.0]
    annotated = Annotated(["P1"], ["A" * 20], [[(5, 9)]])
    found = example(track, annotated, 0, "tm")
    assert {name: type(found[name]) for name in PUBLISHED} == PUBLISHED
    assert found["threshold"] == 4.0  # half of the maximum; the 90th percentile is 3.2
    assert found["feature_segments"] == [[5, 6]]
    assert found["behavior_segments"] == [[5, 9]]
    assert found["overlap_frac_feature_in_behavior"] == 1.0
    assert found["top_positions"][:4] == [
        {"pos": 5, "act": 8.0}, {"pos": 6, "act": 5.0}, {"pos": 12, "act": 3.0}, {"pos": 4, "act": 2.0},
    ]  # fmt: skip
    assert len(found["top_positions"]) == 10
    assert found["max_act"] == 8.0
    assert found["activations"][5] == 8.0
    assert len(found["activations"]) == found["seq_len"] == 20


def test_the_percentile_is_the_threshold_where_a_latent_is_dense():
    track = np.linspace(6.0, 10.0, 21, dtype=np.float32)
    found = example(track, Annotated(["P1"], ["A" * 21], [[]]), 0, "sp")
    assert found["threshold"] == pytest.approx(9.6)
    assert found["feature_segments"] == [[18, 20]]
    assert found["overlap_frac_feature_in_behavior"] == 0.0
    assert found["behavior_segments"] == []


def test_examples_are_the_largest_anywhere_and_negatives_the_largest_without_the_behaviour():
    rng = np.random.default_rng(0)
    lengths = [12] * 20
    dense = np.where(rng.random((240, 3)) < 0.3, rng.random((240, 3)), 0).astype(np.float32)
    dense[:, 2] = 0
    dense[7 * 12 : 8 * 12, 1] = 0
    tokens = residues(lengths)
    segments = [[(2, 4)] if row % 2 else [] for row in range(20)]
    annotated = Annotated([f"P{row}" for row in range(20)], ["ACDEFGHIKLMN"] * 20, segments)
    traces = Traces(csr_array(dense), tokens, annotated.sequences)
    for latent in (0, 1):
        maxima = dense[:, latent].reshape(20, 12).max(axis=1)
        np.testing.assert_array_equal(traces.maxima(latent), maxima)
        found = feature_record(traces, annotated, latent, "tm")
        order = sorted(range(20), key=lambda row: -maxima[row])
        assert [each["accession"] for each in found["examples"]] == [f"P{row}" for row in order[:EXAMPLES]]
        without = [row for row in order if row % 2 == 0 and maxima[row] > 0]
        assert [each["accession"] for each in found["negatives"]] == [f"P{row}" for row in without[:NEGATIVES]]
        assert all(each["behavior_segments"] == [] for each in found["negatives"])
        track = dense[:, latent].reshape(20, 12)[order[0]]
        np.testing.assert_allclose(found["examples"][0]["activations"], track, rtol=1e-3)
    assert feature_record(traces, annotated, 2, "tm") == {"examples": [], "negatives": []}


def test_a_residue_without_a_token_has_no_activation():
    tokens = Tokens(np.array([0, 0]), np.array([1, 3]), np.array([0, 2]), np.array([1, 3]), np.array([5, 5]))
    traces = Traces(csr_array(np.array([[1.0], [2.0]], dtype=np.float32)), tokens, ["AXA"])
    assert traces.along(0, 0).tolist() == [1.0, 0.0, 2.0]
