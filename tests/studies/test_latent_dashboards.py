"""The dashboards of the small study: against the model, the genome and the annotation read anew."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from mints.data.genome import Genome
from mints.features.saelens import from_saelens
from mints.models.checkpoint import load_model
from mints.pipeline.artifacts import read

SITE = "blocks.2.hook_resid_post"


@pytest.fixture(scope="module")
def shown(finished):
    return json.loads((finished[0].results / f"latents/{SITE}.json").read_text())


@pytest.fixture(scope="module")
def encode(finished):
    """Latents of every ordinary token of a sequence, with the tokens' letters; one sequence at a time."""
    encoder, tokenizer, *_ = load_model("mints:embedded_dnabert2")
    folder = finished[0].results / "sparse_autoencoders" / SITE
    parts = [folder / name for name in ("cfg.json", "sae_weights.safetensors")]
    autoencoder = from_saelens(*(read(path, path.suffix) for path in parts))

    def of(sequence):
        encoding = tokenizer.encode(sequence)
        with torch.no_grad():
            x = encoder.run(torch.from_numpy(encoding.ids)[None], sites=[SITE]).cache[SITE][0]
            return encoding, autoencoder.encode(x).numpy()

    return of


def test_examples_are_the_genome_s_windows_with_the_latents_that_the_model_has_there(finished, shown, encode):
    genome = Genome.open(finished[0].results / "simulated_genome/genome.fa")
    checked = 0
    for latent in shown["latents"][::5]:
        for example in latent["examples"][:2]:
            chromosome, _, span = example["name"].partition(":")
            assert example["sequence"] == genome.fetch(chromosome, *map(int, span.split("-")))
            encoding, latents = encode(example["sequence"])
            column = latents[:, latent["latent"]]
            active = [
                (*map(int, encoding.spans[token]), pytest.approx(float(column[token]), rel=2e-3, abs=2e-3))
                for token in np.flatnonzero(~encoding.special & (column > 1e-2))
            ]
            assert [tuple(each) for each in example["active"] if each[2] > 1e-2] == active
            checked += len(active)
    assert checked > 20


def test_marks_are_what_is_annotated_there(finished, shown):
    truth = pd.read_csv(
        finished[0].results / "simulated_genome/truth.bed", sep="\t", header=None, comment="#", usecols=[0, 1, 2, 3]
    )
    example = next(each for latent in shown["latents"] for each in latent["examples"] if each["marks"])
    chromosome, _, span = example["name"].partition(":")
    start, end = map(int, span.split("-"))
    here = truth[(truth[0] == chromosome) & (truth[1] < end) & (truth[2] > start)]
    expected = {(max(0, a - start), min(end, b) - start) for a, b in zip(here[1], here[2], strict=True)}
    marked = {(a, b) for a, b, concept in example["marks"] if concept != "truth/intergenic"}
    assert marked == expected
    assert all(0 <= a < b <= end - start for a, b, _ in example["marks"])


def test_shown_are_the_latents_of_the_circuit_and_of_the_tables(finished, shown):
    results = finished[0].results
    numbers = {latent["latent"] for latent in shown["latents"]}
    steered = pd.read_csv(results / "tables/steering_latents.csv")
    assert set(steered.loc[steered["site"] == SITE, "latent"]) <= numbers
    graph = json.loads((results / "circuits/feature_graph.json").read_text())
    circuit = {node["feature"] for node in graph["nodes"] if node.get("site") == SITE and node["kind"] == "feature"}
    assert len(circuit & numbers) >= min(len(circuit), 10)
    assert all(latent["reasons"] for latent in shown["latents"])
    assert len(shown["latents"]) <= 64


def test_concepts_are_those_of_the_saved_pairs(finished, shown):
    pairs = np.load(finished[0].results / f"concepts/{SITE}_pairs.npz")
    concepts = pairs["concepts"].tolist()
    told = [(latent["latent"], row) for latent in shown["latents"] for row in latent["concepts"]]
    assert told
    for latent, row in told[:20]:
        place = concepts.index(row["concept"])
        hits, called = (int(pairs[f"test_{name}"][latent, place]) for name in ("true_positives", "called"))
        assert row["f1"] == pytest.approx(2 * hits / (called + int(pairs["test_positives"][place])), rel=1e-3)


def test_decoder_rows_move_tokens_both_ways_and_random_ones_have_a_reach(shown):
    told = [latent["logits"] for latent in shown["latents"] if latent["logits"]]
    assert told
    for logits in told:
        promoted, suppressed = ([row["change"] for row in logits[side]] for side in ("promoted", "suppressed"))
        assert promoted == sorted(promoted, reverse=True)
        assert suppressed == sorted(suppressed)
        assert promoted[0] > suppressed[0]
        assert all(row["low"] <= row["change"] <= row["high"] for row in logits["promoted"])
        assert logits["random"] > 0
