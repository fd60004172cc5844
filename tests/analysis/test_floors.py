import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from mints.analysis.floors import SplitSequences, boosted_floor, gc_floor, kmer_floor, metadata_floor

PENALTIES = [1e-3, 1e-1]
ROWS = {"train": 400, "validation": 150, "test": 150}


@pytest.fixture(autouse=True)
def one_thread():
    """Small trees on many threads wait for one another on a busy machine."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(6)


def random_sequence(rng, length, gc):
    return "".join(rng.choice(list("ACGT"), size=length, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]))


def task(rng, make):
    """Splits whose sequences are `make(label)`."""
    parts = {}
    for split, rows in ROWS.items():
        labels = rng.integers(0, 2, size=rows)
        frame = pd.DataFrame({"sequence": [make(label) for label in labels], "label": labels})
        parts[split] = frame.assign(chromosome="chr1", start=pd.array(rng.integers(0, 10**6, size=rows), dtype="Int64"))
    return SplitSequences(**parts)


def judged(rows, floor):
    return roc_auc_score(rows.test["label"], floor.test_scores)


def test_gc_content_tells_a_task_of_unequal_gc_and_not_one_of_equal_gc(rng):
    unequal = task(rng, lambda label: random_sequence(rng, 100, 0.4 + 0.1 * label))
    equal = task(rng, lambda label: random_sequence(rng, 100, 0.5))
    assert judged(unequal, gc_floor(unequal, PENALTIES)) > 0.85
    assert judged(equal, gc_floor(equal, PENALTIES)) == pytest.approx(0.5, abs=0.12)


def test_a_difference_in_six_letters_alone_is_found_by_the_longest_k_mers(rng):
    """Both classes hold the same 5-mers in other pairings, so that only 6-mers tell them apart."""
    words = {1: ["GATTAC", "TATTAG"], 0: ["GATTAG", "TATTAC"]}
    rows = task(rng, lambda label: "N".join([*rng.permutation(words[label]), random_sequence(rng, 10, 0.5)]))
    floor = kmer_floor(rows, PENALTIES)
    assert floor.detail.startswith("k ≤ 6")
    assert judged(rows, floor) > 0.9


def test_composition_that_adds_up_like_xor_fools_the_linear_floor_and_not_the_boosted_one(rng):
    """Each of two separate stretches has one of two letters; the label is whether both chose alike."""

    def make(label):
        first = rng.random() < 0.5
        second = first if label else not first
        return "N".join(["AC"[first] * 20, "GT"[second] * 20, random_sequence(rng, 60, 0.5)])

    rows = task(rng, make)
    linear, boosted = kmer_floor(rows, PENALTIES), boosted_floor(rows, 0)
    assert judged(rows, linear) < 0.65
    assert judged(rows, boosted) > 0.95
    assert boosted.validation_auroc > linear.validation_auroc + 0.2


def test_position_alone_tells_a_task_whose_classes_lie_apart_on_the_chromosome(rng):
    rows = task(rng, lambda label: "A" * 30)
    apart = SplitSequences(*(part.assign(start=part["start"] + 800_000 * part["label"]) for part in rows))
    floor = metadata_floor(apart, PENALTIES)
    assert floor is not None
    assert judged(apart, floor) > 0.9


def test_sequences_without_coordinates_have_no_position_floor(rng):
    rows = task(rng, lambda label: "ACGT" * 5)
    missing = rows._replace(test=rows.test.assign(start=pd.array([pd.NA] * len(rows.test), dtype="Int64")))
    assert metadata_floor(missing, PENALTIES) is None


@pytest.mark.parametrize("floor", [lambda rows: kmer_floor(rows, PENALTIES), lambda rows: boosted_floor(rows, 3)])
def test_test_labels_do_not_touch_a_floor(rng, floor):
    rows = task(rng, lambda label: random_sequence(rng, 80, 0.45 + 0.08 * label))
    poisoned = rows._replace(test=rows.test.assign(label=1 - rows.test["label"]))
    clean, other = floor(rows), floor(poisoned)
    assert (clean.test_scores == other.test_scores).all()
    assert (clean.validation_auroc, clean.detail) == (other.validation_auroc, other.detail)


def test_the_same_seed_grows_the_same_trees(rng):
    rows = task(rng, lambda label: random_sequence(rng, 80, 0.45 + 0.08 * label))
    assert (boosted_floor(rows, 1).test_scores == boosted_floor(rows, 1).test_scores).all()
