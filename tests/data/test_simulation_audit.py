"""The simulated audit: what its truth says, read off the sequences."""

import pandas as pd
import pytest

from mints.config import Simulation
from mints.data.sequences import read_fasta, reverse_complement
from mints.data.simulation.contamination import simulate_audit
from mints.data.simulation.files import write_sequences


@pytest.fixture(scope="module")
def audit():
    return simulate_audit(Simulation(seed=5))


@pytest.fixture(scope="module")
def sequences(audit):
    tables = (audit.queries, audit.corpus)
    return [dict(zip(table["name"], table["sequence"], strict=True)) for table in tables]


def test_twenty_queries_of_sixty_are_planted_once_and_six_are_given_again(audit):
    own = audit.truth[audit.truth["same_as"] == ""]
    assert own["kind"].value_counts().to_dict() == {"absent": 26, "planted": 20, "diverged": 4, "fragment": 4}
    assert len(audit.truth) == 60
    assert audit.truth["planted"].tolist() == (audit.truth["kind"] == "planted").astype(int).tolist()
    assert own["subject"].dropna().is_unique
    assert set(own.loc[own["kind"] == "planted", "strand"]) == {"+", "-"}


def test_every_planted_piece_lies_where_the_truth_says_with_the_divergence_that_it_says(audit, sequences):
    queries, corpus = sequences
    planted = audit.truth.dropna(subset=["subject"])
    lengths = []
    for row in planted.itertuples():
        found = corpus[row.subject][row.start : row.end]
        found = found if row.strand == "+" else reverse_complement(found)
        sought = queries[row.query][row.query_start : row.query_end]
        differing = sum(a != b for a, b in zip(found, sought, strict=True))
        assert differing / len(sought) == pytest.approx(row.divergence)
        if row.kind == "planted":
            assert row.divergence <= 0.081
            lengths.append(len(sought) / len(queries[row.query]))
        elif row.kind == "diverged":
            assert row.divergence > 0.24
        else:
            assert len(sought) < 46
    assert min(lengths) >= 0.59
    assert max(lengths) == 1


def test_absent_queries_share_no_run_of_25_bases_with_the_corpus(audit, sequences):
    queries, corpus = sequences
    texts = [text for sequence in corpus.values() for text in (sequence, reverse_complement(sequence))]
    runs = {text[start : start + 25] for text in texts for start in range(len(text) - 24)}
    for name in audit.truth.loc[audit.truth["kind"] == "absent", "query"]:
        assert not any(queries[name][start : start + 25] in runs for start in range(len(queries[name]) - 24))


def test_repetitions_are_their_queries_on_one_strand_or_the_other(audit, sequences):
    queries, _ = sequences
    again = audit.truth[audit.truth["same_as"] != ""]
    same = [queries[row.query] == queries[row.same_as] for row in again.itertuples()]
    turned = [queries[row.query] == reverse_complement(queries[row.same_as]) for row in again.itertuples()]
    assert sorted(same) == sorted(turned) == [False] * 3 + [True] * 3
    assert [a != b for a, b in zip(same, turned, strict=True)] == [True] * 6
    assert again["planted"].sum() == 3


def test_the_same_seed_gives_the_same_audit_and_another_seed_another(audit):
    again, other = simulate_audit(Simulation(seed=5)), simulate_audit(Simulation(seed=6))
    for one, two in zip(audit, again, strict=True):
        pd.testing.assert_frame_equal(one, two)
    assert not set(audit.queries["sequence"]) & set(other.queries["sequence"])
    larger = simulate_audit(Simulation(seed=5, chromosomes=9, chromosome_length=999_999))
    pd.testing.assert_frame_equal(audit.corpus, larger.corpus)


def test_sequences_are_written_as_fasta(audit, tmp_path):
    write_sequences(audit.queries, tmp_path / "queries.fa")
    read = list(read_fasta(tmp_path / "queries.fa"))
    assert [(record.name, record.sequence) for record in read] == list(audit.queries.itertuples(index=False, name=None))
