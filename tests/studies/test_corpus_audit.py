"""The corpus audit as a step: the planted queries are found, the clean and the shuffled ones are not."""

import json
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from optional import WITHOUT_BLAST, needs_blast

from mints.config import Config, Simulation
from mints.data.sequences import reverse_complement
from mints.data.simulation.contamination import simulate_audit
from mints.data.simulation.files import write_sequences
from mints.errors import MintsError, UsageError
from mints.pipeline.progress import Reporter
from mints.pipeline.runner import Pipeline
from mints.programs import blast_version
from mints.studies.genomic.steps.corpus_audit import corpus_audit

AUDIT = simulate_audit(Simulation(seed=11))
TRUTH = AUDIT.truth.set_index("query")


def write(folder):
    write_sequences(AUDIT.queries, folder / "queries.fa")
    write_sequences(AUDIT.corpus, folder / "corpus.fa")
    AUDIT.truth.to_csv(folder / "truth.csv", index=False)
    return folder


@pytest.fixture
def sources(tmp_path):
    return write(tmp_path)


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """Results of one audit; do not change them."""
    sources = write(tmp_path_factory.mktemp("audit"))
    audit = study(sources, audit_truth=sources / "truth.csv")
    audit.pipeline.run()
    return audit.results


def study(folder, **features):
    """The step alone, in a results folder of its own."""
    given = {"audit_queries": folder / "queries.fa", "audit_corpus": folder / "corpus.fa"} | features
    config = Config(results=folder / "results", features={name: value for name, value in given.items() if value})
    said = StringIO()
    pipeline = Pipeline([corpus_audit], config, config.results, reporter=Reporter(stream=said))
    return SimpleNamespace(pipeline=pipeline, results=config.results, said=said)


def made(results):
    table = pd.read_csv(results / "tables/corpus_audit.csv", keep_default_na=False, na_values=[""]).set_index("query")
    summary = json.loads((results / "tables/corpus_audit_summary.json").read_text())
    return table, summary, pd.read_csv(results / "audit/hits.csv")


@needs_blast
def test_the_planted_queries_are_found_and_no_clean_or_shuffled_one_is(audited):
    table, summary, hits = made(audited)
    assert table.index.tolist() == AUDIT.queries["name"].tolist()
    assert table["found"].tolist() == (TRUTH["planted"] == 1).tolist()
    assert not table["control_found"].any()
    assert summary["found"] | {"low": None, "high": None} == {
        "found": 20, "queries": 54, "share": 20 / 54, "low": None, "high": None
    }  # fmt: skip
    assert summary["shuffled_found"]["found"] == 0
    assert summary["shuffled_found"]["high"] == pytest.approx(1 - 0.025 ** (1 / 54))
    assert (summary["planted_found"]["found"], summary["planted_found"]["queries"]) == (20, 20)
    assert (summary["not_planted_found"]["found"], summary["not_planted_found"]["queries"]) == (0, 34)
    assert summary["corpus"] == {"records": 80, "bases": AUDIT.corpus["sequence"].str.len().sum()}
    assert set(hits.loc[hits["passes"], "query"]) <= set(TRUTH.index[TRUTH["planted"] == 1])
    assert set(hits["sequence"]) <= {"query", "shuffled"}
    assert (audited / "figures/corpus_audit.png").read_bytes().startswith(b"\x89PNG")


@needs_blast
def test_every_match_lies_where_it_was_planted_also_for_a_query_given_again_reversed(audited):
    table, *_ = made(audited)
    planted = TRUTH[TRUTH["planted"] == 1]
    found = table.loc[planted.index]
    assert found["subject"].tolist() == planted["subject"].tolist()
    assert found["strand"].tolist() == planted["strand"].tolist()
    # A local alignment may end a little before a copy does, where the last bases differ.
    ends = (("s_start", "start", 1), ("s_end", "end", -1), ("q_start", "query_start", 1), ("q_end", "query_end", -1))
    for own, truth, inward in ends:
        assert (inward * (found[own] - planted[truth])).between(-3, 25).all(), own
    np.testing.assert_allclose(found["identity"], 1 - planted["divergence"].astype(float), atol=0.03)
    queries = AUDIT.queries.set_index("name")["sequence"]
    reversed_ones = [
        name for name in TRUTH.index[TRUTH["same_as"] != ""] if queries[name] != queries[TRUTH.same_as[name]]
    ]
    assert any(TRUTH.planted[name] for name in reversed_ones)
    for name in table.index[table["same_as"].notna()]:
        twin = table["same_as"][name]
        assert queries[name] in (queries[twin], reverse_complement(queries[twin]))
        assert table["found"][name] == table["found"][twin]


@needs_blast
def test_thresholds_decide_what_counts(sources):
    strict = study(sources, audit_identity=0.97)
    strict.pipeline.run()
    table, summary, _ = made(strict.results)
    assert "planted_found" not in summary
    alike = TRUTH[(TRUTH["planted"] == 1) & (TRUTH["divergence"] < 0.02)].index
    unlike = TRUTH[(TRUTH["divergence"] > 0.045)].index
    assert table.loc[alike, "found"].all()
    assert not table.loc[unlike, "found"].any()
    assert 3 <= len(alike) < len(unlike)


def test_without_blast_the_tables_say_that_nothing_was_searched_and_the_run_goes_on(sources, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(sources))
        audit = study(sources, audit_truth=sources / "truth.csv")
        audit.pipeline.run()
        assert "apt-get install ncbi-blast+" in audit.said.getvalue()
        (manifest,) = audit.results.glob("manifests/corpus_audit.json")
        (warning,) = json.loads(manifest.read_text())["warnings"]
        assert warning.startswith("NCBI BLAST+ is missing, and nothing was searched")
        table, summary, hits = made(audit.results)
        assert table["found"].isna().all()
        assert len(table) == 60
        assert not len(hits)
        assert summary["searched"] is False
        assert summary["queries"] == {"given": 60, "distinct": 54}
        assert [decision.runs for decision in audit.pipeline.plan()] == [False]
    if blast_version() is None:
        pytest.skip(f"that its arrival is noticed was not tested: {WITHOUT_BLAST}")
    (decision,) = audit.pipeline.plan()
    assert decision.runs
    assert decision.reason == f"configuration changed: blast_version none -> {blast_version()}"
    audit.pipeline.run()
    assert made(audit.results)[1]["found"]["found"] == 20


@needs_blast
def test_the_corpus_of_the_autoencoders_and_then_the_genome_stand_in_for_a_corpus_of_its_own(sources):
    named = study(sources, audit_corpus=None, corpus=sources / "corpus.fa")
    named.pipeline.run()
    assert made(named.results)[1]["found"]["found"] == 20
    with pytest.raises(UsageError, match="features.audit_queries needs a corpus"):
        study(sources, audit_corpus=None).pipeline.run()


@needs_blast
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("query,planted\nquery_001,1\n", "has no column or query 'query_002'"),
        ("name,planted\nquery_001,1\n", "has no column or query 'query'"),
        ("", "cannot be read as a table of what was planted"),
    ],
)
def test_a_truth_that_leaves_queries_out_is_refused(content, complaint, sources):
    (sources / "truth.csv").write_text(content)
    with pytest.raises(MintsError, match=complaint):
        study(sources, audit_truth=sources / "truth.csv").pipeline.run()
