"""Scans, layers and dictionaries of the protein study: what a command line or a file means."""

from pathlib import Path

import pytest

from mints.cli import read_command_line
from mints.errors import UsageError
from mints.locations import is_commit, parse
from mints.published_names import dictionary_of, find_scan, scan_name, scans_below

TABLES = ("EPHB2_HUMAN_Tsuboyama_2023_1F0M.csv", "DNJA1_HUMAN_Tsuboyama_2023_2LO1.csv.gz", "EPHB2_MOUSE_x.tsv")
SITES = [f"blocks.{layer - 1}.hook_resid_post" for layer in (8, 12, 16, 20, 24)]


def configured(*arguments):
    config = read_command_line(["--study", "protein", *map(str, arguments)]).analysis_config()
    return type(config).model_validate(config.model_dump())  # what is read once more means the same


@pytest.fixture
def folder(tmp_path):
    dictionaries = ("esm2_plm1280_l16_sae4096.safetensors", "esm2_plm1280_l8_sae8192_k64.safetensors")
    for name in (*TABLES, "notes.txt", *dictionaries):
        (tmp_path / name).touch()
    return tmp_path


def test_the_reference_profile_is_pinned_and_reads_the_layers_of_the_published_study():
    config = configured()
    assert is_commit(config.model_revision)
    assert set(config.model_sha256) == {"model.safetensors"}
    assert (config.layers, config.mutations) == ([8, 12, 16, 20, 24], 100)
    assert config.features.sites == SITES == [ready.site for ready in config.features.ready]
    for layer, ready in zip(config.layers, config.features.ready, strict=True):
        source = parse(ready.file)
        assert source.hub.name == f"esm2_plm1280_l{layer}_sae4096.safetensors"
        assert is_commit(source.hub.revision)
        assert ready.k == 64
    assert config.scans == []


def test_a_command_in_the_spirit_of_the_published_scripts(folder):
    config = configured(
        "--protein", "EPHB2_HUMAN", "--layers", 16, "--mutations", 50, "--model", "esm2_t33_650M_UR50D.pt",
        "--sae-dir", folder, "--scans-dir", folder,
    )  # fmt: skip
    (scan,) = config.scans
    assert (scan.name, scan.file) == ("EPHB2_HUMAN", folder / TABLES[0])
    (ready,) = config.features.ready
    assert (ready.site, ready.file.name, ready.k) == (SITES[2], "esm2_plm1280_l16_sae4096.safetensors", None)
    assert (config.mutations, config.model, config.model_revision) == (50, "esm2_t33_650M_UR50D.pt", None)
    one = configured("--layers", "16,8", "--sae-dir", folder, "--sae-k", 32, "--scan", folder / TABLES[1])
    assert [scan.name for scan in one.scans] == ["DNJA1_HUMAN_Tsuboyama_2023_2LO1"]
    assert [(ready.site, ready.k) for ready in one.features.ready] == [(SITES[0], 32), (SITES[2], 32)]
    assert len(configured("--scans-dir", folder).scans) == 3


def test_another_model_leaves_the_profile_s_layers_and_dictionaries_behind_but_not_a_user_s(tmp_path):
    assert configured("--model", "facebook/esm2_t6_8M_UR50D").features.sites == []
    assert configured("--model", "facebook/esm2_t33_650M_UR50D").features.sites == SITES
    mine = tmp_path / "mine.toml"
    mine.write_text('study = "protein"\nextends = "reference"\nlayers = [3]\nsae_dir = "saes/l{layer}.safetensors"\n')
    (ready,) = configured("--config", mine, "--model", "facebook/esm2_t6_8M_UR50D").features.ready
    assert (ready.site, ready.file) == ("blocks.2.hook_resid_post", tmp_path / "saes" / "l3.safetensors")
    mine.write_text('study = "protein"\nextends = "reference"\nmodel = "./tiny"\n')
    assert configured("--config", mine).features.ready == []


def test_a_dictionary_of_one_s_own_stands_at_a_layer_without_a_folder(tmp_path):
    mine = tmp_path / "mine.toml"
    entry = '[[features.ready]]\nsite = "blocks.{}.hook_resid_post"\nfile = "interplm/layer_{}"\n'
    mine.write_text('study = "protein"\nlayers = [9]\n' + entry.format(8, 9))
    (ready,) = configured("--config", mine).features.ready
    assert ready.file == tmp_path / "interplm" / "layer_9"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--scans-dir", "{folder}", "--protein", "EPHB2"],
            "several scans begin with that name; give one of EPHB2_HUMAN",
        ),
        (["--scans-dir", "{folder}", "--protein", "PR40A"], "there is no scan of it; there are DNJA1_HUMAN"),
        (["--protein", "EPHB2_HUMAN"], "there is no scan of it; there are none"),
        (["--scans-dir", "{folder}/none"], "none holds no scan: expected tables"),
        (
            ["--sae-dir", "{folder}", "--layers", "12"],
            "layer 12 has no dictionary: there is no .*there are layers 8, 16",
        ),
        (["--sae-dir", "hf://models/a/b/x.pt", "--layers", "12"], "an address needs {layer} where"),
        (["--layers", "0"], "--layers.0: Input should be greater than 0"),
        (["--scan", "a/x.csv", "--scan", "b/x.csv"], "two scans are called x"),
    ],
)
def test_what_cannot_be_meant_is_told(folder, arguments, complaint):
    with pytest.raises(UsageError, match=complaint):
        configured(*(argument.replace("{folder}", str(folder)) for argument in arguments))


def test_two_dictionaries_of_one_layer_are_not_chosen_between(folder):
    (folder / "esm2_plm1280_l16_sae8192.safetensors").touch()
    with pytest.raises(UsageError, match="several dictionaries, esm2_plm1280_l16_sae4096.*, esm2_plm1280_l16_sae8192"):
        dictionary_of(16, str(folder))


def test_names_of_tables_lose_their_ending_and_what_cannot_be_in_a_file_name():
    assert scan_name(Path("a/EPHB2_HUMAN.v2.csv.gz")) == "EPHB2_HUMAN_v2"
    files = {"A": Path("1"), "A_x": Path("2"), "B_x": Path("3")}
    assert [find_scan(name, files) for name in ("A", "A_x", "B")] == [Path("1"), Path("2"), Path("3")]
    with pytest.raises(UsageError, match="holds no scan"):
        scans_below(Path("nowhere"))
