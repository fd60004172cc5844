"""Scans of proteins through the command line: a folder of tables, a fair-esm checkpoint, a folder of dictionaries."""

import json
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from residue_models import residue_model
from safetensors.torch import save_file
from scipy.stats import spearmanr

from mints.cli import main
from mints.data.residues import RESIDUES
from mints.models.families.fair_esm import MODULES
from mints.pipeline import artifacts

WILD = {
    "FIRST_HUMAN": "MKTAYIAKQRQISFVKSHFS",
    "SECOND_HUMAN": "GSWLAACDEFGHIKRNPQTVYEE",
    "THIRD_MOUSE": "AVLIMFYWKRHDESTCNQGP",
}
LATENTS, K = 40, 6
QUICK = ["--quiet", "--probe-bootstrap-samples", "40", "--device", "cpu", "--precision", "fp32"]


class User(NamedTuple):
    """What a user of the published scripts has on a disk."""

    model: str
    scans: str
    dictionaries: str
    folder: object

    def command(self, *arguments):
        flags = ["--study", "protein", "--profile", "reference", "--model", self.model, "--scans-dir", self.scans]
        return [*flags, "--mutations", "10", *QUICK, *map(str, arguments)]


def fair_esm(tensors):
    """The hub's tensors under fair-esm's names."""
    names = {theirs: ours for ours, theirs in MODULES.items()}
    state = {}
    for name, tensor in tensors.items():
        parts = name.removeprefix("esm.encoder.layer.").split(".")
        if name.startswith("esm.encoder.layer."):
            module = ".".join(parts[1:-1])
            state[f"encoder.sentence_encoder.layers.{parts[0]}.{names[module]}.{parts[-1]}"] = tensor
        elif name == "esm.embeddings.word_embeddings.weight":
            state["encoder.sentence_encoder.embed_tokens.weight"] = tensor
        elif name.startswith("esm.encoder.emb_layer_norm_after"):
            state[name.replace("esm.encoder.", "encoder.sentence_encoder.")] = tensor
        elif name.startswith("lm_head.") and "decoder" not in name:
            state[f"encoder.{name}"] = tensor
    return state


def dictionary(folder, layer, width=24):
    """The official file of a TopK dictionary of InterProt."""
    generator = torch.Generator().manual_seed(layer)
    directions = torch.nn.functional.normalize(torch.randn(LATENTS, width, generator=generator), dim=1)
    tensors = {"w_enc": directions.T.contiguous(), "w_dec": directions}
    tensors |= {"b_enc": torch.zeros(LATENTS), "b_pre": torch.zeros(width)}
    save_file(tensors, folder / f"esm2_plm{width}_l{layer}_sae{LATENTS}_k{K}.safetensors")


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    for name in ("scans", "sae_weights"):
        (folder / name).mkdir()
    rng = np.random.default_rng(0)
    for name, wild in WILD.items():
        lines = ["mutant,mutated_sequence,DMS_score,DMS_score_bin"]
        singles = [(at, letter) for at in range(len(wild)) for letter in RESIDUES if letter != wild[at]]
        pairs = [((2, "P"), (9, letter)) for letter in "DEGHKRNPQSTWY" if wild[9] != letter]
        pairs += [((5, letter), (12, "W")) for letter in "DEGHKRNQSTY" if wild[5] != letter]
        for changes in [[single] for single in singles] + [list(pair) for pair in pairs if wild[2] != "P"]:
            letters = list(wild)
            for at, letter in changes:
                letters[at] = letter
            mutant = ":".join(f"{wild[at]}{at + 1}{letter}" for at, letter in changes)
            score = rng.normal() - len(changes)
            lines.append(f"{mutant},{''.join(letters)},{score:.4f},{int(score > -1)}")
        (folder / "scans" / f"{name}_Someone_2023_1ABC.csv").write_text("\n".join(lines) + "\n")
    model = residue_model()
    tensors = {name: tensor for name, tensor in model.reference.state_dict().items() if "contact_head" not in name}
    settings = {"encoder_attention_heads": 4, "token_dropout": True}
    torch.save({"cfg": {"model": settings}, "model": fair_esm(tensors)}, folder / "esm2_t4_tiny_UR50D.pt")
    for layer in (2, 3):
        dictionary(folder / "sae_weights", layer)
    return User(str(folder / "esm2_t4_tiny_UR50D.pt"), str(folder / "scans"), str(folder / "sae_weights"), folder)


@pytest.fixture(scope="module")
def results(user):
    """The command of the published scripts, in this project's spelling."""
    results = user.folder / "results"
    names = ",".join(WILD)
    command = user.command("--protein", names, "--layers", 2, "--sae-dir", user.dictionaries, "--results", results)
    assert main(command) == 0
    return results


def read(results, name):
    return pd.read_csv(results / "tables" / f"{name}.csv")


def test_one_command_from_tables_and_published_files_gives_every_table_and_figure(results):
    assert set(read(results, "dms_correlation")["protein"]) == set(WILD)
    for name in ("latent_effects", "latent_sets", "latent_dms"):
        table = read(results, name)
        assert set(table["protein"]) == {*WILD, "all proteins"}
        assert set(table["site"]) == {"blocks.1.hook_resid_post"}
        assert {"substitution", "other_tokens", "hidden_tokens"} <= set(table["readout"])
    assert set(read(results, "integrated_gradients")["protein"]) == set(WILD)
    assert {"protein", "position"} == set(read(results, "universality")["unit"])
    for figure in ("dms_scatter", "dms_map", "latent_effects", "latent_dms"):
        assert (results / "figures" / f"{figure}.png").stat().st_size > 10_000


def test_correlations_can_be_derived_again_from_the_rows_of_every_mutant(results):
    table = pd.read_csv(results / "substitutions" / "FIRST_HUMAN.csv")
    summary = read(results, "dms_correlation").set_index(["protein", "mutants", "score"])
    for kind, chosen in (("singles", table["mutations"] == 1), ("all", table["mutations"] > 0)):
        for score in ("wild_type_marginal", "masked_marginal", "random_initialisation_masked_marginal", "blosum62"):
            row = summary.loc[("FIRST_HUMAN", kind, score)]
            by_hand = spearmanr(table.loc[chosen, score], table.loc[chosen, "DMS_score"]).statistic
            assert row["spearman"] == pytest.approx(by_hand, abs=1e-6)
            assert row["n"] == chosen.sum()
    assert (table["mutations"] == 2).sum() > 15
    single = table[table["mutations"] == 1]
    assert np.allclose(single["masked_marginal"], single["joint_masked_marginal"], atol=1e-5)


def test_what_must_be_exact_is_exact_and_the_trivial_baseline_stands_beside_the_latents(results):
    facts = json.loads((results / "manifests/substitution_latents.json").read_text())["facts"]
    assert set(facts["sanity"].values()) == {0.0}
    assert facts["mutations traced"] == dict.fromkeys(WILD, 10)
    sets = read(results, "latent_sets")
    changed = sets[(sets["tokens"] == "changed tokens") & (sets["direction"] == "denoising")]
    for name in ("all latents", "error alone", "latents and error", "token identity", "random direction"):
        assert (changed["ranking"] == name).sum() == 3 * (len(WILD) + 1)
    whole = sets[(sets["tokens"] == "all tokens") & (sets["ranking"] == "latents and error")]
    assert whole["pm"].to_numpy() == pytest.approx(1, abs=1e-5)
    attributions = read(results, "integrated_gradients")
    sizes = attributions["completeness_error"].abs(), attributions["effect"].abs()
    assert sizes[0].median() < 1e-3 * sizes[1].median()


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are drawn once, elsewhere."""
    monkeypatch.setitem(artifacts._WRITERS, ".png", lambda path, figure: path.write_bytes(b"a figure"))


def test_a_piece_of_work_does_not_depend_on_what_else_is_done(user, results, undrawn):
    alone = user.folder / "alone"
    shared = ["--layers", "2", "--sae-dir", user.dictionaries, "--results", alone]
    assert main(user.command("--protein", "SECOND_HUMAN", *shared)) == 0
    for name in ("latent_effects", "latent_sets", "integrated_gradients", "latent_dms"):
        ours, theirs = (table[table["protein"] == "SECOND_HUMAN"] for table in (read(alone, name), read(results, name)))
        assert len(ours) > 5
        pd.testing.assert_frame_equal(ours.reset_index(drop=True), theirs.reset_index(drop=True), check_dtype=False)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--protein", "FOURTH_HUMAN"], "no scan of it; there are FIRST_HUMAN_Someone_2023_1ABC, SECOND_HUMAN"),
        (
            ["--layers", "2,4", "--sae-dir", "{sae}"],
            "there is no {sae}/esm2_plm*_l4_sae*.safetensors; there are layers 2, 3",
        ),
        (["--layers", "2", "--sae-dir", "{scans}/none"], "none is no folder"),
        (["--sae-dir", "{sae}"], "--sae-dir needs --layers"),
        (["--layers", "0"], "greater than 0"),
    ],
)
def test_what_cannot_be_meant_is_told_in_one_line(user, arguments, complaint, capsys):
    arguments, complaint = (
        [text.format(sae=user.dictionaries, scans=user.scans) for text in texts] for texts in (arguments, [complaint])
    )
    assert main(user.command("--results", user.folder / "refused", *arguments)) == 2
    said = capsys.readouterr().err.strip()
    assert complaint[0] in said
    assert "\n" not in said
    assert not (user.folder / "refused" / "tables").exists()


def test_dictionaries_of_another_width_and_none_at_all_are_told(user, tmp_path, capsys, undrawn):
    dictionary(tmp_path, 2, width=32)
    command = user.command("--protein", "FIRST_HUMAN", "--layers", 2, "--results", user.folder / "refused")
    assert main([*command, "--sae-dir", str(tmp_path)]) == 1
    assert "decomposes 32 dimensions, and blocks.1.hook_resid_post has 24" in capsys.readouterr().err
    assert main(command) == 2
    assert "blocks.1.hook_resid_post has no dictionary: give --sae-dir" in capsys.readouterr().err
