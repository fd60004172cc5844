"""Nothing that lies in a checkpoint is ever executed."""

import ast
import builtins
import json
import os
import pickle
import sys
from argparse import Namespace
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from architectures import PRE, scattered
from safetensors.torch import load_file

import mints
from mints.errors import MintsError
from mints.models.checkpoint import load_model, save_model
from mints.models.families import FAMILIES
from mints.models.tokenizers import FixedKmerTokenizer

SOURCES = sorted(Path(mints.__file__).parent.rglob("*.py"))
CODE_FILES = (
    "modeling_esm.py",
    "configuration_esm.py",
    "tokenization_esm.py",
    "__init__.py",
    "setup.py",
    "conftest.py",
)


@pytest.fixture
def checkpoint(tmp_path):
    """A whole checkpoint whose folder also holds code, named in every place where libraries look for it."""
    folder, witness = tmp_path / "checkpoint", tmp_path / "executed"
    tokenizer = FixedKmerTokenizer.generate(3)
    encoder = scattered(replace(PRE, vocabulary_size=len(tokenizer.vocabulary)))
    save_model(folder, encoder, tokenizer, FAMILIES["nucleotide_transformer"])
    for name in CODE_FILES:
        (folder / name).write_text(f"import pathlib\npathlib.Path({str(witness)!r}).touch()\nclass Evil: pass\n")
    extend(folder / "config.json", auto_map={
        "AutoConfig": "configuration_esm.Evil",
        "AutoModel": "modeling_esm.Evil",
        "AutoModelForMaskedLM": "elsewhere/code--modeling_esm.Evil",
    }, trust_remote_code=True, custom_code=f"__import__('pathlib').Path({str(witness)!r}).touch()")  # fmt: skip
    extend(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_esm.Evil", None]},
           tokenizer_class="tokenization_esm.Evil", processor_class="tokenization_esm.Evil")  # fmt: skip
    return folder, witness, encoder


def extend(path: Path, **entries) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


class Payload:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_code_in_a_checkpoint_folder_stays_text(checkpoint):
    folder, witness, encoder = checkpoint
    before = set(sys.modules)
    loaded = load_model(str(folder))
    expected = encoder.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.encoder.state_dict().items())
    assert loaded.tokenizer.encode("ACGACG").ids.tolist()[0] == loaded.tokenizer.id_of["<cls>"]
    assert not witness.exists()
    assert not any(
        "esm" in name.lower() and name.startswith(("modeling", "configuration", "tokenization"))
        for name in set(sys.modules) - before
    )
    exec((folder / "modeling_esm.py").read_text())  # the files would have left their mark
    assert witness.exists()


PAYLOADS = {
    "a method": lambda witness: Payload(Path.touch, witness),
    "the shell": lambda witness: Payload(os.system, f"touch {witness}"),
    "eval": lambda witness: Payload(builtins.eval, f"__import__('pathlib').Path({str(witness)!r}).touch()"),
    "a method in settings": lambda witness: Namespace(model=Payload(Path.touch, witness)),
    "a class of the loader": lambda witness: Payload(getattr, Namespace, "__init__"),
}
PLACES = {
    "for a tensor": lambda payload, weights: {**weights, "lm_head.bias": payload},
    "in place of the table": lambda payload, weights: payload,
    "in the settings": lambda payload, weights: {"cfg": {"model": payload}, "model": weights},
    "beside the tensors": lambda payload, weights: {"state_dict": weights, "optimizer": payload},
    "among ordered tensors": lambda payload, weights: OrderedDict(**weights, last=payload),
}


def write_archive(content, path):
    torch.save(content, path)


def write_old_format(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def write_pickle(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("write", [write_archive, write_old_format, write_pickle])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_malicious_pickle_is_refused_in_one_line_and_executes_nothing(checkpoint, payload, place, write, monkeypatch):
    folder, witness, _ = checkpoint
    # The variable overrules callers of torch.load who do not say what they want.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    write(PLACES[place](PAYLOADS[payload](witness), weights), folder / "pytorch_model.bin")
    with pytest.raises(MintsError) as refusal:
        load_model(str(folder))
    message = str(refusal.value)
    assert message.startswith(f"{folder / 'pytorch_model.bin'} cannot be read as weights: ")
    assert "\n" not in message
    assert "\x1b" not in message
    assert not witness.exists()


def test_the_refusal_names_what_the_pickle_asked_for(checkpoint):
    folder, witness, _ = checkpoint
    torch.save(Payload(os.system, f"touch {witness}"), folder / "evil.pt")
    with pytest.raises(
        MintsError, match=r"evil\.pt cannot be read as weights: it asks for posix\.system, which is not"
    ):
        load_model(str(folder / "evil.pt"))
    pickle.loads(pickle.dumps(Payload(os.system, f"touch {witness}")))  # without the refusal it would have run
    assert witness.exists()


def calls(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}


FORBIDDEN = ("exec", "eval", "compile", "__import__", "pickle.load", "pickle.loads", "runpy.run_path", "torch.hub.load")
FORBIDDEN += ("yaml.unsafe_load", "yaml.full_load")


def faults(source: str) -> list[str]:
    """Ways in which a source file could run what it reads."""
    tree = ast.parse(source)
    found = []
    for name, keywords in calls(tree):
        if name in FORBIDDEN or name.endswith(("from_pretrained", "spec_from_file_location")):
            found.append(name)
        if name == "torch.load" and keywords.get("weights_only") != "True":
            found.append(f"{name} without weights_only")
        if "trust_remote_code" in keywords:
            found.append(f"{name} with trust_remote_code")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found + sorted(name for name in names if name.startswith("Auto") and len(name) > 4)


def test_no_source_file_runs_what_it_reads():
    assert len(SOURCES) > 50
    assert {
        str(path): faults(path.read_text(encoding="utf-8"))
        for path in SOURCES
        if faults(path.read_text(encoding="utf-8"))
    } == {}


@pytest.mark.parametrize(
    "source",
    [
        "AutoModel.from_pretrained(path)",
        "model = load(path, trust_remote_code=False)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "pickle.loads(content)",
        "yaml.unsafe_load(text)",
        "config = AutoConfig",
    ],
)
def test_the_guard_sees_each_fault(source):
    assert faults(source)
