"""The reference profile from end to end: fetched from a stand-in of the hub and of ENCODE's and UCSC's servers."""

import gzip
import hashlib
import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest
import torch
from architectures import POST, PRE
from http_server import Answer, serving
from small_study import run_main
from stand_in_hub import hub_answers

from mints.models.checkpoint import save_model
from mints.models.encoder import randomly_initialised
from mints.models.families import FAMILIES
from mints.models.tokenizers import FixedKmerTokenizer, train_bpe

PROFILE = (files("mints") / "profiles" / "reference.toml").read_text(encoding="utf-8")
NOWHERE = "http://127.0.0.1:9"
TASKS = ("promoter_tata", "promoter_no_tata", "splice_sites_donors", "splice_sites_acceptors")
CAPS = """
max_probe_train = 120
max_probe_test = 60
max_masked_tokens = 60
max_qk_alignment_sequences = 40
max_patching_pairs = 4
max_feature_search_sequences = 40
sae_epochs = 1
permuted_motifs = 3
probe_bootstrap_samples = 40
probe_control_random_label_runs = 1
test_chromosomes = ["chr4", "chr5"]
validation_chromosomes = ["chr6"]
"""


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_model(folder, sequences):
    """A tiny DNABERT-2 in the repository's layout: a pickle of tensors, tokenizer files, and code that must not run."""
    tokenizer = train_bpe(sequences, 60)
    shape = {"d_model": 24, "n_layers": 12, "n_heads": 4, "vocabulary_size": len(tokenizer.vocabulary)}
    architecture = replace(POST, **shape)
    encoder = randomly_initialised(architecture, seed=0)
    family = FAMILIES["dnabert2"]
    save_model(folder, encoder, tokenizer, family)
    (folder / "model.safetensors").unlink()
    torch.save(family.official_state(encoder), folder / "pytorch_model.bin")
    for name in ("bert_layers.py", "configuration_bert.py"):
        (folder / name).write_text("raise SystemExit('remote code ran')\n")
    configuration = json.loads((folder / "config.json").read_text())
    configuration["auto_map"] = {"AutoModel": "bert_layers.BertModel"}
    (folder / "config.json").write_text(json.dumps(configuration))


def write_compared_model(folder):
    """A tiny Nucleotide Transformer v2 in the repository's layout."""
    tokenizer = FixedKmerTokenizer.generate(6)
    architecture = replace(PRE, norm_epsilon=1e-12, vocabulary_size=len(tokenizer.vocabulary))
    save_model(folder, randomly_initialised(architecture, seed=1), tokenizer, FAMILIES["nucleotide_transformer"])
    (folder / "modeling_esm.py").write_text("raise SystemExit('remote code ran')\n")


def write_tasks(folder, simulated):
    """The tasks as the data set has them: promoters as parquet with a column `task`, splice sites as FASTA."""
    for task in TASKS:
        (folder / task).mkdir(parents=True)
        for split in ("train", "test"):
            text = (simulated / "tasks" / f"{task}.{split}.fna").read_text()
            if task.startswith("splice"):
                (folder / task / f"{split}.fna").write_text(text)
                continue
            records = [record.splitlines() for record in text.split(">")[1:]]
            rows = [(lines[1], lines[0].rpartition("|")[0], int(lines[0].rpartition("|")[2])) for lines in records]
            table = pd.DataFrame(rows, columns=["sequence", "name", "label"]).assign(task=task)
            table.to_parquet(folder / task / f"{split}.parquet")


@pytest.fixture(scope="module")
def world(finished, tmp_path_factory):
    """The stand-in's files, and the shipped profile with its addresses, hashes and sizes turned to them."""
    simulated = finished[0].results / "simulated_genome"
    root = tmp_path_factory.mktemp("world")
    for name in ("model", "compared"):
        (root / name).mkdir()
    write_compared_model(root / "compared")
    lines = (simulated / "genome.fa").read_text().splitlines()
    write_model(root / "model", [line for line in lines[:400] if not line.startswith(">")])
    write_tasks(root / "tasks", simulated)
    (root / "web").mkdir()
    soft_masked = "\n".join(line if line.startswith(">") else line[:30].lower() + line[30:] for line in lines)
    (root / "web" / "hg38.fa.gz").write_bytes(gzip.compress(soft_masked.encode(), 1, mtime=0))
    (root / "web" / "ENCFF356LFX.bed.gz").write_bytes(gzip.compress(b"chr1\t0\t5000\tHigh Signal Region\n", mtime=0))
    (root / "web" / "ENCFF827JRI.bed.gz").write_bytes((simulated / "ctcf.narrowPeak.gz").read_bytes())
    return root


def servers(world, stumbles=()):
    """Answers for the hub's paths and for those of the other servers. stumbles: file name → its first answers."""
    dataset = re.findall(r"hf://(datasets/[^@]+@[0-9a-f]{40})", PROFILE)[0]
    model = re.search(r'model = "([^"]+)"\nmodel_revision = "([0-9a-f]+)"', PROFILE)
    compared = re.search(r'\[compared_models\]\]\nname = .*\nmodel = "([^"]+)"', PROFILE)
    hub = hub_answers(
        {
            f"models/{model[1]}@{model[2]}": world / "model",
            f"models/{compared[1]}@main": world / "compared",
            dataset: world / "tasks",
        }
    )
    pending = {name: list(answers) for name, answers in dict(stumbles).items()}

    def answer(request):
        name = Path(request.path.partition("?")[0]).name
        path = world / "web" / name
        honest = Answer(content=path.read_bytes()) if path.is_file() else hub(request)
        return pending[name].pop(0)(honest) if honest.content and pending.get(name) else honest

    return answer


def turned(world, address):
    """The profile's text with what has to differ here: addresses outside the hub, hashes, caps and chromosomes."""
    text = re.sub(
        r"https://[^\"#]*/([^/\"#]+\.gz)(#\w+=\w+)?",
        lambda found: f"{address}/{found[1]}#sha256={sha256(world / 'web' / found[1])}",
        PROFILE,
    )
    known = "".join(f'"{p.name}" = "{sha256(p)}"\n' for p in (world / "model").iterdir() if p.name.startswith("tok"))
    text = re.sub(r"\[model_sha256\]\n(\".*\n)+", f"[model_sha256]\n{known}", text)
    text = re.sub(r"(?m)^(max_patching_pairs|max_feature_search_sequences) = \d+\n", "", text)
    return text.replace("[model_sha256]", f"{CAPS}\n[model_sha256]", 1)


def test_the_whole_profile_runs_from_the_stand_in_and_again_offline(world, tmp_path):
    stumbles = {
        "pytorch_model.bin": [lambda honest: honest._replace(cut_after=5000)],
        "hg38.fa.gz": [lambda honest: Answer(503), lambda honest: Answer(503)],
    }
    with serving(servers(world, stumbles)) as server:
        (tmp_path / "reference.toml").write_text(turned(world, server.address))
        arguments = ("--config", "reference.toml", "--results", "results")
        fetched = run_main(*arguments, "--fetch-only", "--json", folder=tmp_path, HF_ENDPOINT=server.address)
        assert fetched.code == 0, fetched.err
        sources = json.loads(fetched.out)
        asked = [request.path for request in server.requests]
        weights = [request.start for request in server.requests if "signature" in request.path]
    assert 5000 in weights
    assert not any(path.split("?")[0].endswith(".py") for path in asked)
    assert {Path(source["path"]).name for source in sources} >= {"pytorch_model.bin", "config.json", "hg38.fa.gz"}
    for source in sources:
        assert (tmp_path / source["path"]).stat().st_size == source["bytes"]
    done = run_main(*arguments, "--offline", folder=tmp_path, HF_ENDPOINT=NOWHERE)
    assert done.code == 0, done.err
    run = json.loads((tmp_path / "results" / "pipeline_run.json").read_text())
    assert [source["location"] for source in run["sources"]] == [source["location"] for source in sources]
    assert {step["status"] for step in run["steps"]} == {"ran"}
    controls = pd.read_csv(tmp_path / "results" / "tables" / "linear_probe_controls.csv")
    assert set(controls["task"]) == {*TASKS, "ctcf"}
    evidence = pd.read_csv(tmp_path / "results" / "tables" / "evidence.csv")
    assert evidence.groupby("question").size().to_dict() == dict.fromkeys(
        ("ctcf", "promoter_tata", "splice_sites_donors", "splice_sites_acceptors"), 48
    )
    probes = pd.read_csv(tmp_path / "results" / "tables" / "cross_model_probes.csv")
    assert {"DNABERT-2-117M", "NT-v2-100M"} <= set(probes["model"])
    again = run_main(*arguments, "--offline", folder=tmp_path, HF_ENDPOINT=NOWHERE)
    assert again.code == 0, again.err
    run = json.loads((tmp_path / "results" / "pipeline_run.json").read_text())
    assert {step["status"] for step in run["steps"]} == {"skipped"}


def test_wrong_bytes_end_the_run_before_any_step_and_never_enter_the_cache(world, tmp_path):
    with serving(servers(world, {"ENCFF827JRI.bed.gz": [lambda honest: Answer(content=b"other")]})) as server:
        (tmp_path / "reference.toml").write_text(turned(world, server.address))
        outcome = run_main("--config", "reference.toml", folder=tmp_path, HF_ENDPOINT=server.address)
    assert outcome.code == 1
    assert re.search(r"error: .*/ENCFF827JRI.bed.gz does not have the sha256 \w{64}: it was changed", outcome.err)
    assert not list(tmp_path.rglob("ENCFF827JRI.bed.gz"))
    assert not (tmp_path / "results").exists()


def test_everything_that_is_missing_is_listed_at_once_with_the_command_that_gets_it(tmp_path):
    outcome = run_main("--max-probe-train", "64", "--offline", folder=tmp_path, HF_ENDPOINT=NOWHERE)
    assert outcome.code == 1
    assert "13 of 13 sources cannot be had, so that nothing was started" in outcome.err
    assert "model: zhihan1996/DNABERT-2-117M at revision 7bce263b" in outcome.err
    for task in TASKS:
        assert f"/{task}/train.{{parquet,fna}}" in outcome.err
    assert "hg38.fa.gz" in outcome.err
    assert "\n  python main.py --max-probe-train 64 --fetch-only\n" in outcome.err
    assert not (tmp_path / "results").exists()


def test_another_model_does_not_inherit_the_profile_s_revision_and_hashes(tmp_path):
    outcome = run_main("--model", "team/other", "--offline", folder=tmp_path)
    assert "model: team/other at revision main" in outcome.err
