"""Latents of substitutions in a small ESM-2: read-outs by hand, sets by whole passes, and what stands beside them."""

from functools import partial

import numpy as np
import pytest
import torch
from latent_pairs import random_autoencoder
from patching_pairs import FP32
from residue_models import residue_model
from scipy.stats import rankdata
from torch.testing import assert_close

from mints.analysis.bootstrap import Resamples, cluster_weights
from mints.features.above import Above
from mints.features.effect_relation import relation_table
from mints.features.intervention import change_latents, set_latents
from mints.features.packed_effects import joined_patches, packed_patches, unpacked_patches
from mints.features.pair_patching import (
    CHANGED,
    SANITY,
    Beside,
    Displacements,
    own_rankings,
    patch_pairs,
    ranked_sets,
    rows_of,
    set_tables,
)
from mints.features.substitution_readout import CONTEXTS, SubstitutionReadout
from mints.features.token_identity import identity_means
from mints.features.traced_pairs import PairRun, Traced, attribution_table, rank_latents

SITE = "blocks.1.hook_resid_post"
WILD = "MKTAYIAKQRQISFVKSHFS"
MUTANTS = {"K2W": (1, "W"), "Y5G": (4, "G"), "Q9L": (8, "L"), "F19C": (18, "C")}
HIDDEN = [3, 12, 16]
"""Tokens that are hidden in that context."""

SHIFT = 4
SIZES = (1, 4)


@pytest.fixture(scope="module")
def model():
    return residue_model()


@pytest.fixture(scope="module")
def autoencoder():
    return random_autoencoder(24, 60, k=6)


def make_pair(model, name, context):
    at, letter = MUTANTS[name]
    tokenizer = model.tokenizer
    sides = [tokenizer.encode(text) for text in (WILD, WILD[:at] + letter + WILD[at + 1 :])]
    clean, corrupted = (torch.from_numpy(side.ids)[None].clone() for side in sides)
    hidden = torch.zeros_like(clean, dtype=torch.bool)
    truth = clean.clone()
    if context == "hidden":
        hidden[0, HIDDEN] = True
        clean[hidden] = corrupted[hidden] = tokenizer.mask_id
    content = torch.from_numpy(~sides[0].special)[None]
    readout = SubstitutionReadout(CONTEXTS[context], clean, corrupted, truth, content, hidden)
    above = Above(model.encoder, SITE, FP32)
    return PairRun(name, at, above.record(clean), above.record(corrupted), readout, SHIFT)


@torch.no_grad()
def by_hand(model, pair, ids, interventions=None):
    """Read-outs of a whole pass of the model; where nothing is changed, of transformers' own."""
    if interventions is None:
        logits = model.reference(ids, attention_mask=torch.ones_like(ids)).logits[0]
    else:
        logits = model.encoder.logits(model.encoder.run(ids, interventions=interventions).residual)[0]
    log_p, (at, _) = logits.double().log_softmax(-1), MUTANTS[pair.name]
    clean, corrupted, truth = (part[0].tolist() for part in pair.readout[1:4])
    figures = {
        "substitution": float(log_p[at + 1, corrupted[at + 1]] - log_p[at + 1, clean[at + 1]]),
        "other_tokens": sum(float(log_p[place, truth[place]]) for place in range(1, 21) if place != at + 1),
        "hidden_tokens": sum(float(log_p[place, truth[place]]) for place in HIDDEN),
    }
    return [figures[name] for name in pair.readout.names]


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("name", MUTANTS)
def test_read_outs_are_those_of_transformers_log_probabilities(model, name, context):
    pair = make_pair(model, name, context)
    above = Above(model.encoder, SITE, FP32)
    for run, ids in ((pair.clean, pair.readout.clean), (pair.corrupted, pair.readout.corrupted)):
        assert above.still(run, pair.readout, 2)[1].tolist() == pytest.approx(by_hand(model, pair, ids), abs=1e-4)


def test_read_outs_of_many_rows_are_those_of_each(model):
    pairs = [make_pair(model, name, "visible") for name in MUTANTS]
    together = SubstitutionReadout(
        CONTEXTS["visible"], *(torch.cat(parts) for parts in zip(*(pair.readout[1:] for pair in pairs), strict=True))
    )
    which = torch.tensor([2, 0])
    final = torch.randn(2, 22, 24)
    rows = together.rows(which).of(model.encoder, {}, final)
    for place, index in enumerate(which.tolist()):
        assert_close(rows[[place]], pairs[index].readout.of(model.encoder, {}, final[[place]]))


@pytest.fixture(scope="module", params=CONTEXTS)
def traced(request, model, autoencoder):
    """Everything that the study does with one protein, of four mutations."""
    readouts = CONTEXTS[request.param]
    tracer = Traced(Above(model.encoder, SITE, FP32), autoencoder, readouts, readouts)
    pairs = [make_pair(model, name, request.param) for name in MUTANTS]
    ranked = rank_latents(tracer, pairs, np.random.default_rng(0))
    sets = ranked_sets(ranked, readouts, np.random.default_rng(0), SIZES)
    others = Displacements(("nothing", "everything"), partial(_displacements))
    patched = patch_pairs(tracer, pairs, sets, np.random.default_rng(0), others, SIZES)
    beside = Beside(others.names, tuple(own_rankings(readouts)), SIZES)
    return tracer, pairs, sets, patched, beside


def _displacements(pair):
    whole = (pair.clean.x[0] - pair.corrupted.x[0]) * pair.where(CHANGED)[:, None]
    return [torch.zeros_like(whole), whole]


def test_what_must_be_exactly_nothing_is_nothing(traced):
    _, _, sets, patched, beside = traced
    assert patched.sanity == dict.fromkeys(SANITY, 0.0)
    names = rows_of(sets, CHANGED, beside).ranking
    for direction in ("denoising", "noising"):
        changes = patched.sets[CHANGED, direction]
        assert not changes[:, names.index("nothing")].any()
        whole = changes[:, names.index("latents and error")]
        assert_close(changes[:, names.index("everything")], whole, atol=1e-4, rtol=1e-4)
        assert np.abs(whole).min() > 1e-3


def test_sets_of_a_mutation_s_own_latents_are_one_intervention_on_the_whole_model(model, traced, autoencoder):
    _, pairs, sets, patched, beside = traced
    rows = rows_of(sets, CHANGED, beside)
    row = next(
        at for at, label in enumerate(zip(rows.ranking, rows.size, strict=True)) if label == ("change in the pair", 4)
    )
    for index, pair in enumerate(pairs):
        place = pair.cluster + 1
        values = [autoencoder.encode(side.x[0, place]) for side in (pair.clean, pair.corrupted)]
        sizes = (values[0] - values[1]).abs() * autoencoder.W_dec.norm(dim=1)
        members = sizes.argsort(descending=True)[:4]
        where = torch.zeros(1, 22, dtype=torch.bool)
        where[0, place] = True
        for direction, ids, taken, sign in (
            ("denoising", pair.readout.corrupted, values[0], 1),
            ("noising", pair.readout.clean, values[1], -1),
        ):
            change = change_latents(autoencoder, set_latents(members, taken[members]), where)
            moved = np.subtract(by_hand(model, pair, ids, {SITE: change}), by_hand(model, pair, ids))
            assert patched.sets[CHANGED, direction][index, row] == pytest.approx(sign * moved, abs=3e-4)


def test_the_null_elsewhere_is_the_same_move_at_another_residue(model, traced, autoencoder):
    _, pairs, _, patched, _ = traced
    pair, found = pairs[1], patched.singles[1]
    place = pair.cluster + 1
    clean, corrupted = (autoencoder.encode(side.x[0, place]) for side in (pair.clean, pair.corrupted))
    for index in (0, len(found.latents) - 1):
        latent = int(found.latents[index])
        step = (clean[latent] - corrupted[latent]) * autoencoder.W_dec[latent] / 0.7

        def moved(x, step=step):
            x = x.clone()
            x[0, place + SHIFT] += step
            return x

        ids = pair.readout.corrupted
        change = np.subtract(by_hand(model, pair, ids, {SITE: moved}), by_hand(model, pair, ids))
        assert found.nulls["elsewhere"][0][index] == pytest.approx(change, abs=3e-4)


def test_pieces_are_put_back_together_as_they_were(traced):
    tracer, _, sets, patched, beside = traced
    back, labels = unpacked_patches(packed_patches(patched, sets))
    assert labels[CHANGED].ranking == sets[CHANGED].ranking
    assert labels[CHANGED].size == sets[CHANGED].size
    assert back.sanity == patched.sanity
    for ours, theirs in zip(back.singles, patched.singles, strict=True):
        assert np.array_equal(ours.latents, theirs.latents)
        for name in ("lengths", "denoised", "noised", "estimated"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))
        assert ours.nulls.keys() == theirs.nulls.keys() == {"random", "elsewhere"}
        for null, sides in theirs.nulls.items():
            assert all(np.array_equal(a, b) for a, b in zip(ours.nulls[null], sides, strict=True))
    twice = joined_patches([back, patched])
    judge = Resamples(cluster_weights(np.arange(4), 50, np.random.default_rng(0)), 0.95)
    doubled = Resamples(np.concatenate([judge.weights, judge.weights], axis=1), 0.95)
    once = set_tables(sets, patched, judge, tracer.readouts, beside)
    both = set_tables(labels, twice, doubled, tracer.readouts, beside)
    numbers = once.select_dtypes("number").columns
    assert_close(once[numbers].to_numpy(), both[numbers].to_numpy(), equal_nan=True)


def test_attributions_of_latents_and_error_add_up_to_the_effect(traced):
    tracer, pairs, _, patched, _ = traced
    table = attribution_table(tracer, pairs, np.random.default_rng(0))
    assert table["name"].tolist() == [name for name in MUTANTS for _ in tracer.readouts]
    effect = table["effect"].to_numpy()
    assert effect == pytest.approx(patched.totals.ravel(), abs=1e-4)
    assert (table["latents"] + table["error"]).to_numpy() == pytest.approx(
        effect + table["completeness_error"].to_numpy()
    )
    assert table["completeness_error"].abs().max() < 0.01 * np.abs(effect).max()


def test_a_token_s_identity_is_its_mean_over_the_other_places(model):
    above = Above(model.encoder, SITE, FP32)
    wild = torch.from_numpy(model.tokenizer.encode(WILD).ids)
    places, tokens = np.array([2, 5, 9]), np.array([model.tokenizer.id_of[letter] for letter in "AKW"])
    means = identity_means(above, wild, places, tokens)
    values = {}
    for place in places:
        for token in tokens:
            ids = wild.clone()
            ids[place] = int(token)
            with torch.no_grad():
                values[place, token] = model.encoder.run(ids[None], sites=[SITE]).cache[SITE][0, place]
    a, w = tokens[0], tokens[2]
    by_place = {place: values[place, a] - values[place, w] for place in places}
    assert_close(means.displacement(a, w, 5), (by_place[2] + by_place[9]) / 2, atol=1e-5, rtol=1e-5)
    assert_close(means.displacement(a, w, 7), sum(by_place.values()) / 3, atol=1e-5, rtol=1e-5)


def test_an_effect_that_follows_the_assay_through_the_given_score_alone_has_no_partial_correlation():
    rng = np.random.default_rng(0)
    given = rng.normal(size=400)
    measured = given + rng.normal(size=400)
    quantities = {"through": given + rng.normal(size=400), "own": measured + rng.normal(size=400), "given": given}
    judge = Resamples(cluster_weights(np.arange(400), 300, rng), 0.95)
    table = relation_table(quantities, measured, given, judge).set_index("quantity")
    through, own = table.loc["through"], table.loc["own"]
    assert through["spearman_low"] > 0.2
    assert through["partial_low"] < 0 < through["partial_high"]
    assert own["partial_low"] > 0.2
    assert np.isnan(table.loc["given", "partial"])
    x, y, z = (rankdata(values) - 1 for values in (quantities["own"], measured, given))
    left = [values - np.polyval(np.polyfit(z, values, 1), z) for values in (x, y)]
    assert own["partial"] == pytest.approx(np.corrcoef(*left)[0, 1])
