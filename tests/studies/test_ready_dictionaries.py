"""Dictionaries that a user brings for a site."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import published_layouts as published
import pytest
import torch
from architectures import PRE, scattered
from safetensors.torch import save_file

from mints.cli import read_command_line
from mints.config import Config
from mints.errors import MintsError, UsageError
from mints.models.compute import resolve_compute
from mints.models.tokenizers import FixedKmerTokenizer
from mints.pipeline.step import step
from mints.studies.shared.gather import Wanted, wanted
from mints.studies.shared.models import OpenModel
from mints.studies.shared.ready_dictionaries import read_autoencoder, ready_autoencoders

SITE = "blocks.1.hook_resid_post"


def interprot(folder):
    w = published.drawn()
    arrays = {"w_enc": w["encoder"].T, "b_enc": w["encoder_bias"], "w_dec": w["decoder"].T, "b_pre": w["bias"]}
    path = folder / "esm2_plm6_l1_sae15.safetensors"
    save_file({name: torch.tensor(array).contiguous() for name, array in arrays.items()}, path)
    return path


def model(d_model):
    """An encoder of this width, with three heads."""
    tokenizer = FixedKmerTokenizer.generate(3)
    architecture = replace(PRE, d_model=d_model, n_heads=3, vocabulary_size=len(tokenizer.vocabulary))
    return OpenModel(scattered(architecture), tokenizer, resolve_compute("cpu", "fp32"))


def configured(folder, text):
    path = folder / "mine.toml"
    path.write_text(f'extends = "embedded"\n[features]\nsites = ["{SITE}", "blocks.2.hook_resid_post"]\n{text}')
    return read_command_line(["--config", str(path)])


def test_a_dictionary_named_in_a_configuration_file_is_the_site_s(tmp_path):
    interprot(tmp_path)
    config = configured(
        tmp_path, f'[[features.ready]]\nsite = "{SITE}"\nfile = "esm2_plm6_l1_sae15.safetensors"\nk = 4\n'
    )
    said = []
    run = SimpleNamespace(config=config, warn=said.append)
    (found,) = ready_autoencoders(run, model(6)).values()
    assert list(ready_autoencoders(run, model(6))) == [SITE]
    x = published.tokens()
    latents, output = published.interprot(published.drawn(), x, 4)
    result = found.autoencoder(torch.from_numpy(x))
    torch.testing.assert_close(result.latents, torch.from_numpy(latents), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(result.output, torch.from_numpy(output), atol=2e-4, rtol=1e-4)
    assert said == []
    with pytest.raises(MintsError, match=r"sae15\.safetensors decomposes 6 dimensions, and blocks\.1.* has 12"):
        ready_autoencoders(run, model(12))


def test_what_its_user_should_know_is_said_as_a_warning(tmp_path):
    path = published_decode_glm(tmp_path)
    config = configured(tmp_path, f'[[features.ready]]\nsite = "{SITE}"\nfile = "{path.name}"\n')
    said = []
    ready_autoencoders(SimpleNamespace(config=config, warn=said.append), model(6))
    assert len(said) == 1
    assert said[0].startswith(f"{SITE}, {path}: normalize_to_sqrt_d is set, but training did not apply it")


def published_decode_glm(folder):
    w = published.drawn()
    named = {"encoder.weight": "encoder", "encoder.bias": "encoder_bias", "decoder.weight": "decoder", "b_dec": "bias"}
    tensors = {name: torch.from_numpy(w[role]) for name, role in named.items()}
    tensors |= {"k": torch.tensor(4), "threshold": torch.tensor(0.5), "normalize_to_sqrt_d": torch.tensor(True)}
    torch.save(tensors | {"activation_rescale_factor": torch.ones(published.D_SAE)}, folder / "checkpoint.pt")
    return folder / "checkpoint.pt"


def test_one_call_opens_a_folder_or_a_file(tmp_path):
    path = published_decode_glm(tmp_path)
    by_file, by_folder = read_autoencoder(path), read_autoencoder(str(tmp_path))
    x = torch.from_numpy(published.tokens())
    assert torch.equal(by_file.autoencoder.encode(x), by_folder.autoencoder.encode(x))
    assert by_file.metadata == {"format": "Decode-gLM BatchTopKSAE", "k": 4}


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        (["blocks.3.hook_resid_post"], "which is not among features.sites"),
        ([SITE, SITE], "two ready dictionaries are of blocks.1.hook_resid_post"),
    ],
)
def test_a_ready_dictionary_has_a_site_of_its_own(entries, complaint, tmp_path):
    text = "".join(f'[[features.ready]]\nsite = "{site}"\nfile = "x.pt"\n' for site in entries)
    with pytest.raises(UsageError, match=complaint):
        configured(tmp_path, text)


def test_a_step_that_opens_part_of_a_section_wants_the_files_of_that_part_alone():
    def declared(*opens):
        return step("some_step", reads=opens, opens=opens)(lambda run: None)

    features = {"sites": [SITE], "ready": [{"site": SITE, "file": "/d/ae.pt"}], "audit_queries": "/d/queries.fa"}
    config = Config(features=features, genome="/d/genome.fa")
    assert wanted(config, [declared("features.ready")]) == [Wanted("ready, file", Path("/d/ae.pt"))]
    assert wanted(config, [declared("features.audit_queries", "genome")]) == [
        Wanted("features, audit_queries", Path("/d/queries.fa")),
        Wanted("genome", Path("/d/genome.fa")),
    ]
    assert [each.source for each in wanted(config, [declared("features")])] == [
        Path("/d/ae.pt"),
        Path("/d/queries.fa"),
    ]


def test_a_dictionary_of_an_earlier_run_takes_the_place_of_a_trained_one(study, tmp_path):
    kept = tmp_path / "kept"
    shutil.copytree(study.results / "sparse_autoencoders" / SITE, kept)
    configuration = tmp_path / study.configuration.name
    entry = f'\n[[features.ready]]\nsite = "{SITE}"\nfile = "kept"\n'
    configuration.write_text(study.configuration.read_text() + entry)
    before = pd.read_csv(study.results / "tables" / "sparse_autoencoders.csv")
    outcome = study._replace(configuration=configuration).run("--only-step", "sparse_autoencoders")
    assert outcome.code == 0, outcome.err
    after = pd.read_csv(study.results / "tables" / "sparse_autoencoders.csv")
    ours, theirs = (
        table[(table["site"] == SITE) & (table["encoder"] == "model") & (table["split"] == "test")].iloc[0]
        for table in (before, after)
    )
    assert theirs["kind"] == "SAELens jumprelu"
    assert theirs["expansion"] == 2
    assert theirs["variance_explained"] == pytest.approx(ours["variance_explained"], abs=1e-5)
    assert set(pd.read_csv(study.results / "tables" / "sparse_autoencoder_training.csv")["site"]) == {
        SITE,
        "blocks.2.hook_resid_post",
    }
    weights = "sae_weights.safetensors"
    assert (study.results / "sparse_autoencoders" / SITE / weights).read_bytes() == (kept / weights).read_bytes()
