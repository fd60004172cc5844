"""What the steering step makes of a question: its sites and the base over which a token is hidden."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from mints.studies.genomic.steering import informative_base, open_sites

COUNTS = [[25, 25, 25, 25], [0, 0, 97, 3], [0, 0, 0, 100], [60, 10, 20, 10]]


def a_run(question=""):
    """A run of two questions; the second task has a sequence with two sites, and a negative one with a site."""
    sites = pd.DataFrame(
        [
            ("b", "test", 1, 10, 14, "+", 9.0),
            ("b", "test", 1, 40, 44, "-", 12.0),
            ("a", "validation", 1, 5, 9, "+", 8.0),
            ("c", "test", 0, 1, 5, "+", 20.0),
        ],
        columns=["name", "split", "label", "start", "end", "strand", "bits"],
    )
    artifacts = {
        "tasks/promoters.parquet": pd.DataFrame({"name": ["x"], "sequence": ["ACGT"]}),
        "tasks/splice.parquet": pd.DataFrame({"name": ["a", "b", "c"], "sequence": ["A" * 60] * 3}),
        "motif_scoring/donors_sites.csv": sites,
        "motif_scoring/donors_motif.json": {"counts": COUNTS},
        "motif_scoring/tata_sites.csv": sites.iloc[:0],
        "motif_scoring/tata_motif.json": {"counts": COUNTS[::-1]},
    }
    questions = [SimpleNamespace(name="tata", task="promoters"), SimpleNamespace(name="donors", task="splice")]
    config = SimpleNamespace(motif_questions=questions, features=SimpleNamespace(circuit_question=question))
    return SimpleNamespace(config=config, load=artifacts.__getitem__)


def test_the_most_informative_base_is_the_column_with_the_lowest_entropy():
    assert informative_base(np.array(COUNTS, dtype=float)) == 2
    assert informative_base(np.full((5, 4), 3.0)) == 0


def test_the_best_site_of_each_positive_sequence_is_taken():
    question = open_sites(a_run("donors"))
    assert question.name == "donors"
    assert question.core == 2
    assert question.sites[["row", "start", "strand"]].to_numpy().tolist() == [[0, 5, "+"], [1, 40, "-"]]


def test_the_first_question_is_asked_where_none_is_named():
    question = open_sites(a_run())
    assert (question.name, question.core, len(question.sites)) == ("tata", 1, 0)
