"""Checkpoints on disk and from the hub: exact, strict, and inert."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mints.errors import MintsError
from mints.models.checkpoint import load_model, save_model
from mints.models.encoder import randomly_initialised
from mints.models.families import FAMILIES
from mints.models.hub import checkpoint_files, locate_checkpoint
from mints.models.tokenizers import FixedKmerTokenizer, train_bpe
from mints.models.weights import read_weights, weight_files


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small DNABERT-2 checkpoint folder and the encoder in it."""
    from architectures import POST

    tokenizer = train_bpe(["ACGTTGCAACGTAGCT" * 4, "GGATTACAGATTACA" * 4], 30)
    from dataclasses import replace

    encoder = randomly_initialised(replace(POST, vocabulary_size=len(tokenizer.vocabulary)), seed=4)
    folder = tmp_path_factory.mktemp("checkpoint")
    save_model(folder, encoder, tokenizer, FAMILIES["dnabert2"])
    return folder, encoder


def test_a_saved_model_loads_as_it_was(checkpoint):
    folder, encoder = checkpoint
    loaded = load_model(str(folder))
    assert loaded.family.name == "dnabert2"
    expected = encoder.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.encoder.state_dict().items())
    assert loaded.encoder.architecture == encoder.architecture
    assert loaded.tokenizer.encode("ACGT").ids[0] == 1
    assert not loaded.encoder.training


def test_half_precision_files_load_as_float32(checkpoint, tmp_path):
    folder, encoder = checkpoint
    save_model(tmp_path, encoder, load_model(str(folder)).tokenizer, FAMILIES["dnabert2"], torch.float16)
    state = load_model(str(tmp_path)).encoder.state_dict()
    for name, tensor in encoder.state_dict().items():
        assert state[name].dtype == torch.float32
        torch.testing.assert_close(state[name], tensor, atol=2e-3, rtol=1e-3)


def test_pickled_and_sharded_weights_give_the_same_model(checkpoint, tmp_path):
    folder, _ = checkpoint
    expected = load_model(str(folder)).encoder.state_dict()
    weights = load_file(folder / "model.safetensors")
    pickled, sharded = tmp_path / "pickled", tmp_path / "sharded"
    for target in (pickled, sharded):
        target.mkdir()
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            (target / name).write_bytes((folder / name).read_bytes())
    torch.save(weights, pickled / "pytorch_model.bin")
    names = sorted(weights)
    parts = {"model-1.safetensors": names[:9], "model-2.safetensors": names[9:]}
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, sharded / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    for target in (pickled, sharded):
        state = load_model(str(target)).encoder.state_dict()
        assert all(torch.equal(state[name], expected[name]) for name in expected)
    (sharded / "model-2.safetensors").unlink()
    with pytest.raises(MintsError, match=r"lacks model-2\.safetensors"):
        weight_files(sharded)


@pytest.mark.parametrize("index", ["{", "[]", '{"weight_map": 3}', '{"metadata": {}}'])
def test_an_index_that_is_none_is_named(tmp_path, index):
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(MintsError, match=r"model\.safetensors\.index\.json is no index of weight files$"):
        weight_files(tmp_path)


def test_an_index_reaches_no_file_outside_its_folder(checkpoint, tmp_path):
    index = {"weight_map": {"a": "../elsewhere/model.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(MintsError, match=r"names files outside its folder: \.\./elsewhere/model\.safetensors$"):
        weight_files(tmp_path)


@pytest.mark.parametrize("layout", ["model.safetensors", "pytorch_model.bin"])
def test_a_loaded_model_owns_its_weights_and_may_be_saved_over_its_file(checkpoint, tmp_path, layout):
    folder, encoder = checkpoint
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    weights = load_file(folder / "model.safetensors")
    if layout == "pytorch_model.bin":
        torch.save(weights, tmp_path / layout)
    else:
        save_file(weights, tmp_path / layout)
    loaded = load_model(str(tmp_path))
    with (tmp_path / layout).open("r+b") as file:
        file.write(b"\0" * (tmp_path / layout).stat().st_size)
    expected = encoder.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.encoder.state_dict().items())


def test_settings_that_are_of_no_encoder_are_one_clear_line(checkpoint, tmp_path):
    folder, _ = checkpoint
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    settings = json.loads((folder / "config.json").read_text())
    for wrong in ({"num_attention_heads": 5}, {"hidden_size": "24"}):
        (tmp_path / "config.json").write_text(json.dumps(settings | wrong))
        with pytest.raises(MintsError, match=r"config\.json is of no encoder: .+$"):
            load_model(str(tmp_path))
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(MintsError, match=r"config\.json is not a JSON object$"):
        load_model(str(tmp_path))


def test_damaged_and_missing_files_are_named(checkpoint, tmp_path):
    folder, _ = checkpoint
    with pytest.raises(MintsError, match="does not exist"):
        load_model(str(tmp_path / "nowhere"))
    with pytest.raises(MintsError, match=r"has no weights: expected one of model\.safetensors, .* or one \.pt file$"):
        load_model(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(MintsError, match=r"has no config\.json"):
        load_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(MintsError, match="is not JSON"):
        load_model(str(tmp_path))
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    whole = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MintsError, match="cannot be read as weights"):
        load_model(str(tmp_path))


def test_a_file_of_something_else_is_not_a_table_of_tensors(tmp_path):
    torch.save([1, 2, 3], tmp_path / "model.pt")
    with pytest.raises(MintsError, match="does not hold a table of tensors"):
        read_weights([tmp_path / "model.pt"])


def test_a_tokenizer_larger_than_the_model_is_refused(checkpoint, tmp_path):
    folder, _ = checkpoint
    for name in ("config.json", "model.safetensors", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    train_bpe(["ACGTTGCAACGTAGCTGGCATCGATTTACG" * 4], 60).save(tmp_path)
    with pytest.raises(MintsError, match="do not belong together"):
        load_model(str(tmp_path))


def test_a_wrong_family_is_refused_by_the_loader(checkpoint):
    folder, _ = checkpoint
    with pytest.raises(MintsError, match="is not ESM-2"):
        load_model(str(folder), family="esm2")


def test_unknown_shipped_checkpoints_are_named_with_what_there_is():
    with pytest.raises(MintsError, match="no checkpoint 'mints:nothing' is shipped"):
        locate_checkpoint("mints:nothing")


def test_of_a_repository_a_checkpoint_needs_settings_and_one_kind_of_weights_and_never_code():
    settings = ["config.json", "special_tokens_map.json", "tokenizer_config.json", "vocab.txt"]
    rest = ["README.md", "modeling_esm.py", "jax_model/weights.npz", "onnx/model.safetensors", "tf_model.h5"]
    assert checkpoint_files([*rest, *settings, "model.safetensors", "pytorch_model.bin"]) == [
        "model.safetensors",
        *settings,
    ]
    shards = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "pytorch_model.bin.index.json"]
    assert checkpoint_files([*rest, "config.json", *shards]) == [*shards, "config.json"]
    assert checkpoint_files(["data.csv", "train.py"]) == []


def test_a_folder_that_is_not_there_is_one_clear_line():
    with pytest.raises(MintsError, match=r"^checkpoint folder ./nowhere does not exist$"):
        load_model("./nowhere")


def test_fixed_kmer_checkpoints_round_trip(tmp_path):
    from dataclasses import replace

    from architectures import PRE

    tokenizer = FixedKmerTokenizer.generate(3)
    encoder = randomly_initialised(replace(PRE, vocabulary_size=len(tokenizer.vocabulary), norm_epsilon=1e-12), seed=1)
    save_model(tmp_path, encoder, tokenizer, FAMILIES["nucleotide_transformer"])
    loaded = load_model(str(tmp_path), "nucleotide_transformer")
    expected = encoder.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.encoder.state_dict().items())
    assert loaded.tokenizer.vocabulary == tokenizer.vocabulary
