"""Chapters of the protein study: scores against the assay, latents of substitutions, and behaviours."""

import numpy as np
import pandas as pd
import pytest
from page.conftest import HOSTILE

SITE, PROTEIN = "blocks.1.hook_resid_post", "FIRST"
DRAWN = "[...document.querySelectorAll('.plot')].map((plot) => plot.data.map((trace) => trace.x))"
ALL = "all proteins"


def around(table, name, half=0.05):
    return table.assign(**{f"{name}_low": table[name] - half, f"{name}_high": table[name] + half})


def correlation():
    rows = [
        (p, "DMS_score", m, s)
        for p in (PROTEIN, HOSTILE)
        for m in ("all", "singles")
        for s in ("masked_marginal", "blosum62")
    ]
    table = pd.DataFrame(rows, columns=["protein", "target", "mutants", "score"]).assign(n=40, positions=12)
    table["spearman"] = [0.5, 0.3, 0.45, 0.25, 0.35, 0.3, 0.2, 0.25]
    table["beyond_baseline"] = [0.2, 0.0, 0.2, 0.0, 0.05, 0.0, -0.05, 0.0]
    return around(around(table, "spearman"), "beyond_baseline", 0.1)


def scan():
    positions = np.repeat([1, 2], 20)
    table = pd.DataFrame({"position": positions, "wild_type": np.where(positions == 1, "M", "K")})
    table["mutant"] = list("GAVLIMCFYWPSTNQDEHKR") * 2
    table = table[table["wild_type"] != table["mutant"]]
    steps = np.arange(len(table))
    places = table.assign(wild_type_marginal=-1.0, masked_marginal=-0.1 * steps, DMS_score=-0.05 * steps)
    places.loc[places.index[3], "DMS_score"] = np.nan
    many = pd.DataFrame({"mutant": "M1A", "mutations": [1, 2] * 1000, "masked_marginal": np.linspace(-5, 1, 2000)})
    return places, many.assign(DMS_score=np.linspace(-2, 0, 2000), mutant=[HOSTILE] + ["M1A"] * 1999)


def effects():
    table = pd.DataFrame({"site": SITE, "protein": ALL, "direction": "denoising", "latent": [3, 5, 7, 7]})
    table = table.assign(readout=["other_tokens", "other_tokens", "other_tokens", "substitution"], n_pairs=[6, 7, 8, 8])
    table = table.assign(
        change=[0.4, -0.3, 0.2, 0.9], q=[0.01, 0.01, 0.6, 0.001], matched=0.01, random=0.0, elsewhere=0.02
    )
    table = table.assign(
        beyond_matched=table["change"] - 0.01, beyond_random=table["change"], beyond_elsewhere=[0.38, 0.1, 0.18, 0.9]
    )
    for name in ("change", "beyond_matched", "beyond_random", "beyond_elsewhere"):
        table = around(table, name)
    return table


def sets():
    rankings = ["integrated gradients, other_tokens"] * 2 + ["matched latents, other_tokens"] * 2
    rankings += ["all latents", "token identity"]
    table = pd.DataFrame(
        {"site": SITE, "protein": ALL, "tokens": "changed tokens", "direction": "denoising"}, index=range(6)
    )
    table = table.assign(readout="other_tokens", ranking=rankings, size=[1, 4, 1, 4, 512, 0])
    return around(around(table.assign(change=[0.1, 0.3, 0.0, 0.1, 0.6, 0.5], effect=0.7), "change"), "effect")


def latents():
    against = pd.DataFrame(
        {"site": SITE, "protein": [ALL, HOSTILE], "readout": "other_tokens", "quantity": ["whole effect", HOSTILE]}
    )
    against = around(around(against.assign(n=18, spearman=[0.2, 0.1], partial=[0.15, 0.1]), "spearman"), "partial")
    gradients = pd.DataFrame({"site": SITE, "protein": PROTEIN, "name": ["M1A", HOSTILE], "readout": "other_tokens"})
    for name, value in (("top_20", 0.5), ("gini", 0.8)):
        gradients[name], gradients[f"{name}_uniform"], gradients[f"{name}_random_gradient"] = value, 0.1, 0.45
    general = pd.DataFrame(
        {"site": SITE, "readout": "other_tokens", "unit": "protein", "identity_kind": "wild type"}, index=[0, 1]
    )
    general = general.assign(
        latent=[3, 5], identity=["C", HOSTILE], f1=[0.9, 0.0], f1_expected=[0.05, 0.06], q=[0.01, 1.0]
    )
    return {"latent_dms": against, "integrated_gradients": gradients, "universality": general}


def behaviour_tables():
    probes = pd.DataFrame({"behaviour": ["tm", "tm", HOSTILE, HOSTILE], "scorer": ["probe", "composition"] * 2})
    probes = probes.assign(auroc=[0.95, 0.8, 0.7, 0.69], floor="composition", n_test=60, difference=[0.15, 0, 0.01, 0])
    probes = around(probes.assign(low=probes["auroc"] - 0.05, high=probes["auroc"] + 0.05), "difference")
    own = pd.DataFrame(
        {"behaviour": ["tm", HOSTILE], "site": SITE, "latent": [3, 5], "weight": [0.2, -0.1], "q": [0.01, 0.3]}
    )
    own = own.assign(low=own["weight"] - 0.05, high=own["weight"] + 0.05, auroc_decoys=[0.9, 0.6])
    own = around(around(own.assign(**{f"auroc_{HOSTILE}": [0.8, np.nan]}), "auroc_decoys"), f"auroc_{HOSTILE}")
    overlap = pd.DataFrame(
        {"site": [SITE], "first": "tm", "second": HOSTILE, "first_latents": 13, "second_latents": 18}
    )
    overlap = overlap.assign(shared=6, expected=0.97, p=0.0002)
    loss = pd.DataFrame({"behaviour": "tm", "site": SITE, "latent": [3, -1], "loss": 2.2, "delta_loss": [0.06, 0.01]})
    loss = around(
        loss.assign(low=[0.03, -0.1], high=[0.09, 0.1], difference=[0.05, 0.02], null=0.003, q=[0.02, np.nan]),
        "difference",
    )
    return {
        "behaviour_probes": probes,
        "circuit_specificity": own,
        "circuit_overlap": overlap,
        "circuit_masked_loss": loss,
    }


@pytest.fixture(scope="module")
def page(make_page):
    places, mutants = scan()
    tables = {"dms_correlation": correlation(), "latent_effects": effects(), "latent_sets": sets()}
    tables |= latents() | behaviour_tables()
    scans = {f"substitutions/{PROTEIN}_map.csv": places, f"substitutions/{PROTEIN}.csv": mutants}
    return make_page({f"tables/{name}.csv": table for name, table in tables.items()} | scans, {"study": "protein"})


def opened_part(seen, chapter, part):
    opened = seen.go(chapter)
    opened.get_by_role("tab", name=part, exact=True).click()
    opened.evaluate("drawAll()")
    return opened


def test_the_front_answers_for_scores_latents_and_behaviours(page, revisit):
    with revisit(page) as seen:
        told = seen.go().inner_text(".claims")
    assert "In 1 of 2 proteins (masked marginal, all mutants). FIRST: Spearman 0.50 [0.45, 0.55]" in told
    assert "which is +0.20 [+0.10, +0.30] against BLOSUM62" in told
    assert "1 of 3 tests" in told
    assert (
        "F3 of blocks.1.hook_resid_post (denoising, log-likelihood of all other residues): 0.390 [0.340, 0.440] nats"
        in told
    )
    assert "F5" not in told, "a latent that does no more than the same move elsewhere beats not all of its nulls"
    assert "1 of 2 (transmembrane helix). Transmembrane helix: AUROC 0.950 [0.900, 1.000]" in told
    assert "At 1 of 1 sites." in told
    assert f"transmembrane helix (13 latents) and {HOSTILE} (18) share 6 where random sets share 1.0" in told
    assert "1 of 1 latents raise the loss beyond latents that fire alike: F3" in told


def test_scores_are_drawn_by_protein_and_a_long_scan_is_thinned(page, revisit):
    with revisit(page) as seen:
        opened = opened_part(seen, "substitutions", "scores")
        drawn = opened.evaluate(DRAWN)
        assert drawn[0] == [[0.5, 0.3], [0.45, 0.25]]
        assert drawn[1] == [[0.2], [0.2]]
        assert sum(map(len, drawn[2])) == 1500
        assert "1,500 of 2,000 mutants, evenly taken" in opened.inner_text("#content")
        opened.get_by_role("tab", name=HOSTILE.replace("_", " "), exact=True).click()
        opened.evaluate("drawAll()")
        assert opened.evaluate(DRAWN)[0] == [[0.35, 0.3], [0.2, 0.25]]
        assert "is not among this run's results" in opened.inner_text("#content")
        assert opened.evaluate("window.hacked") is None


def test_each_map_tells_the_other_value_of_a_substitution(page, revisit):
    cell = (
        "(trace) => { const t = document.querySelectorAll('.plot')[3].data[trace];"
        " return [t.z[1][0], t.customdata[1][0]] }"
    )
    with revisit(page) as seen:
        opened = opened_part(seen, "substitutions", "scores")
        assert opened.evaluate(cell, 0) == [-0.1, ["M1A", "-0.05"]]
        assert opened.evaluate(cell, 3) == [-0.05, ["M1A", "-0.10"]]
        crosses = "(i) => { const t = document.querySelectorAll('.plot')[3].data[i]; return [t.x, t.y] }"
        assert opened.evaluate(crosses, 2) == [[], []], "the model scored all; the wild type itself is a dot"
        assert opened.evaluate(crosses, 5) == [[1], [3]], "what the assay lacks is a cross"
        assert opened.evaluate(crosses, 4) == [[1, 2], [5, 18]], "M and K are the wild type"


def test_latents_stand_beside_their_nulls_and_sets_beside_identity(page, revisit):
    with revisit(page) as seen:
        opened = opened_part(seen, "substitutions", "single latents and sets")
        drawn = opened.evaluate(DRAWN)
        assert drawn[0] == [[0.01] * 3, [0] * 3, [0.02] * 3, [0.4, -0.3, 0.2]]
        names = opened.evaluate("document.querySelectorAll('.plot')[1].data.map((t) => [t.name, t.y])")
        assert names == [
            ["by integrated gradients", [0.1, 0.3]],
            ["matched sets", [0, 0.1]],
            ["all latents", [0.6, 0.6]],
            ["token identity", [0.5, 0.5]],
            ["whole effect of the substitution", [0.7, 0.7]],
        ]


def test_every_other_part_is_drawn_with_its_values_and_runs_no_name(page, revisit):
    expected = {
        ("substitutions", "latents and the assay"): [[0.2]],
        ("substitutions", "universality"): [[0.05, 0.06], [0, 0.1]],
        ("behaviours", "probes"): [[0.95], [0.8]],
        ("behaviours", "specificity and overlap"): [[0.2]],
        ("behaviours", "loss at hidden residues"): [[0.06, 0.01], [0.05, 0.02]],
    }
    with revisit(page) as seen:
        for (chapter, part), values in expected.items():
            assert opened_part(seen, chapter, part).evaluate(DRAWN)[0] == values, part
        opened = opened_part(seen, "substitutions", "concentration")
        heights = opened.evaluate("document.querySelectorAll('.plot')[0].data.map((t) => t.y)")
        assert heights == [[0.5, 0.5], [0.45, 0.45], [0.1, 0.1]]
        opened = opened_part(seen, "behaviours", "loss at hidden residues")
        ticks = opened.evaluate("document.querySelector('.plot').layout.yaxis.ticktext")
        assert ticks == ["★ F3", "error of the dictionary"]
        assert opened.evaluate("window.hacked") is None


def test_a_run_without_these_tables_says_what_makes_them(make_page, visit):
    makers = {"tables/dms_correlation.csv": "substitution_effects", "tables/behaviour_probes.csv": "behaviour_probes"}
    bare = make_page({}, {"study": "protein"}, makers)
    with visit(bare) as seen:
        told = seen.go("substitutions").inner_text("#content")
        assert "--from-step substitution_effects" in told
        assert "--from-step behaviour_probes" in seen.go("behaviours").inner_text("#content")
        for part in ("single latents and sets", "latents and the assay", "concentration", "universality"):
            assert "is not among" in opened_part(seen, "substitutions", part).inner_text("#content")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(page, revisit, width):
    with revisit(page, width=width) as seen:
        for chapter in ("substitutions", "behaviours"):
            assert seen.go(chapter).evaluate("document.documentElement.scrollWidth") <= width
