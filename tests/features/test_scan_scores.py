"""Scores of a scan's mutants: both marginals and the joint one by transformers' own model, and the sample of them."""

import numpy as np
import pytest
import torch
from patching_pairs import FP32
from residue_models import residue_model

from mints.data.deep_mutational_scan import Change, Scan, Variant
from mints.data.residues import RESIDUES
from mints.errors import MintsError
from mints.features.mutation_sample import sample_mutations
from mints.features.scan_scores import baseline_scores, score_scan, variant_table
from mints.models.tokenizers import FixedKmerTokenizer

WILD = "MKTAYIAKQRQISFVKSHFS"


def variant(name, score=0.0):
    changes = tuple(Change(part[0], int(part[1:-1]) - 1, part[-1]) for part in name.split(":"))
    return Variant(changes, score, None)


NAMES = ["K2A", "K2W", "T3P", "F19C", "K2A:T3P", "M1C:F19C:S20A", "T3G:K8L"]
SCAN = Scan(WILD, [variant(name) for name in NAMES], {})


@pytest.fixture(scope="module")
def model():
    return residue_model()


@pytest.fixture(scope="module")
def scored(model):
    return score_scan(model.encoder, model.tokenizer, SCAN, FP32)


def log_p(model, hidden=()):
    """Log-probabilities of transformers' own model, on the wild type with some places hidden."""
    ids = torch.from_numpy(model.tokenizer.encode(WILD).ids)[None].clone()
    ids[0, [at + 1 for at in hidden]] = model.tokenizer.mask_id
    with torch.no_grad():
        logits = model.reference(ids, attention_mask=torch.ones_like(ids)).logits
    return logits[0, 1:-1].double().log_softmax(-1)


def of_changes(model, changes, hidden=()):
    p, token = log_p(model, hidden), model.tokenizer.id_of
    return sum(float(p[c.position, token[c.mutant]] - p[c.position, token[c.wild_type]]) for c in changes)


def test_marginals_add_up_over_changes_and_the_joint_one_hides_all_of_them(model, scored):
    table, _ = scored
    for row, mutant in zip(table.itertuples(), SCAN.variants, strict=True):
        assert row.wild_type_marginal == pytest.approx(of_changes(model, mutant.changes), abs=1e-4)
        alone = sum(of_changes(model, [change], [change.position]) for change in mutant.changes)
        assert row.masked_marginal == pytest.approx(alone, abs=1e-4)
        joint = of_changes(model, mutant.changes, mutant.positions())
        assert row.joint_masked_marginal == pytest.approx(joint, abs=1e-4)
    single = table["masked_marginal"] - table["joint_masked_marginal"]
    assert single[:4].abs().max() < 1e-5
    assert single[4:].abs().min() > 1e-3


def test_all_nineteen_substitutions_at_every_place_are_scored_and_a_place_s_mean_leaves_out_its_own(model, scored):
    table, every = scored
    places = [0, 1, 2, 7, 18, 19]
    assert list(zip(every.position, every.letter, strict=True)) == [
        (at, letter) for at in places for letter in RESIDUES if letter != WILD[at]
    ]
    of_place = {
        letter: of_changes(model, [Change("K", 1, letter)], [1]) for letter in RESIDUES if letter not in ("K", "A")
    }
    assert table["position_mean"][0] == pytest.approx(np.mean(list(of_place.values())), abs=1e-4)


def test_a_model_of_other_tokens_is_refused():
    tokenizer = FixedKmerTokenizer.generate(3)
    with pytest.raises(MintsError, match="tokens are no single residues"):
        score_scan(None, tokenizer, SCAN, FP32)


def test_tables_of_variants_and_baselines_add_up_over_changes():
    table, baselines = variant_table(SCAN), baseline_scores(SCAN)
    assert table["mutant"].tolist() == NAMES
    assert table["mutations"].tolist() == [1, 1, 1, 1, 2, 3, 2]
    assert table["position"].tolist() == [2, 2, 3, 19, 2, 1, 3]
    assert baselines["blosum62"].tolist()[:5] == [-1, -3, -1, -2, -2]
    assert baselines["hydrophobicity"][4] == pytest.approx(-abs(1.8 + 3.9) - abs(-1.6 + 0.7))


def test_mutations_are_drawn_evenly_over_the_whole_range_of_scores():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(-3, 0.2, 40), rng.normal(0, 0.2, 60)])
    names = [f"{WILD[at]}{at + 1}{letter}" for at in range(6) for letter in RESIDUES if letter != WILD[at]][:100]
    singles = [variant(name, float(score)) for name, score in zip(names, scores, strict=True)]
    scan = Scan(WILD, [*singles, variant("K2A:T3P", -9.0)], {})
    sample = sample_mutations(scan, 23, np.random.default_rng(1))
    assert len(sample) == sample["name"].nunique() == 23
    assert sample["stratum"].value_counts().sort_index().tolist() == [5, 5, 5, 4, 4]
    edges = np.quantile(scores, [0, 0.2, 0.4, 0.6, 0.8, 1], method="lower")
    for row in sample.itertuples():
        assert edges[row.stratum] - 1e-9 <= row.DMS_score <= edges[row.stratum + 1] + 1e-9
        assert row.corrupted == WILD[: row.position] + row.mutant + WILD[row.position + 1 :]
        assert (row.clean, WILD[row.position]) == (WILD, row.wild_type)
        assert row.cluster == row.position
    assert sample["position"].value_counts().max() <= 5  # 23 mutations at six positions
    assert len(sample_mutations(scan, None, np.random.default_rng(1))) == 100
    assert len(sample_mutations(scan, 1000, np.random.default_rng(1))) == 100
