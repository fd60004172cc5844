"""Mistakes that a user can make: one clear line, the right exit code, and nothing lost."""

import gzip
import json
import os
import subprocess
import sys

import pytest
from small_study import MAIN, run_here, run_main

from mints.cli import main, read_command_line
from mints.errors import MintsError, UsageError


def fails(outcome, code, *texts):
    """The run ended with this code and one line that holds all these texts."""
    assert outcome.code == code, outcome.err
    lines = [line for line in outcome.err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, outcome.err
    for text in texts:
        assert text in lines[0], lines[0]
    assert "Traceback" not in outcome.err


def test_help_takes_a_second_and_names_every_flag_of_the_first_design():
    before = os.times()
    outcome = run_main("--help")
    after = os.times()
    # Time of the processor, as other work on the machine prolongs any other; about 0.4 s.
    assert after.children_user + after.children_system - before.children_user - before.children_system < 1
    for flag in (
        "--overwrite", "--max-probe-train", "--max-probe-test", "--max-qk-alignment-sequences", "--max-patching-pairs",
        "--max-feature-search-sequences", "--sae-epochs", "--max-cross-model-qk-alignment-sequences",
        "--probe-bootstrap-samples", "--probe-ci-level", "--probe-control-random-label-runs", "--only-probe-controls",
        "--from-step", "--json",
    ):  # fmt: skip
        assert flag in outcome.out


@pytest.mark.parametrize("question", ["--help", "--list-steps", "--dry-run", "--status"])
def test_asking_never_imports_torch(question, tmp_path):
    program = (
        "import sys; from mints.cli import main\n"
        f"try: main(['--profile', 'embedded', '--results', {str(tmp_path)!r}, {question!r}])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["--bogus"], ["unrecognized arguments: --bogus"]),
        (["--profile", "nowhere"], ["unknown profile 'nowhere'", "embedded"]),
        (["--from-step", "probe_control"], ["probe_control", "probe_controls"]),
        (["--only-step", "patching"], ["patching", "linear_probes"]),
        (["--max-probe-train", "0"], ["--max-probe-train", "greater than 0"]),
        (["--probe-ci-level", "95"], ["--probe-ci-level", "less than 1"]),
        (["--device", "tpu"], ["--device", "cpu"]),
        (["--family", "gpt"], ["--family"]),
        (["--test", "x.csv"], ["--test needs --train"]),
        (["--peaks", "x.bed"], ["--peaks needs --genome"]),
        (["--from-step", "ingest", "--only-step", "ingest"], ["not both"]),
    ],
)
def test_a_command_line_that_cannot_be_meant_ends_with_2(arguments, texts, capsys, tmp_path):
    profile = [] if "--profile" in arguments else ["--profile", "embedded"]
    if "--peaks" in arguments:
        profile = ["--config", str(tmp_path / "bare.toml")]
        (tmp_path / "bare.toml").write_text("")
    code = main([*profile, "--results", str(tmp_path / "r"), *arguments])
    message = capsys.readouterr().err
    assert code == 2
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    for text in texts:
        assert text in message


def test_flags_go_over_the_user_s_file_and_that_over_the_profile(tmp_path):
    (tmp_path / "mine.toml").write_text('extends = "embedded"\nseed = 5\nmax_probe_train = 7\nmodel = "./checkpoint"\n')
    command = read_command_line(["--config", str(tmp_path / "mine.toml"), "--max-probe-train", "9"])
    assert (command.seed, command.max_probe_train, command.max_probe_test) == (5, 9, 1200)
    assert command.profile == "mine"
    assert command.model == str(tmp_path / "checkpoint")
    assert str(command.results) == "results/mine"
    assert str(command.genome) == "results/mine/simulated_genome/genome.fa"


def test_own_data_replace_the_profile_s_tasks():
    command = read_command_line(
        ["--train", "my.train.csv", "--test", "t.csv", "--peaks", "p.bed.gz", "--genome", "g.fa"]
    )
    assert [task.name for task in command.tasks] == ["my", "p"]


def test_broken_configuration_files_are_refused(tmp_path):
    with pytest.raises(MintsError, match="cannot read configuration"):
        read_command_line(["--config", str(tmp_path / "none.toml")])
    (tmp_path / "a.toml").write_text("seed = ")
    with pytest.raises(MintsError, match="is not TOML"):
        read_command_line(["--config", str(tmp_path / "a.toml")])
    (tmp_path / "b.toml").write_text("sead = 1")
    with pytest.raises(UsageError, match="--sead"):
        read_command_line(["--config", str(tmp_path / "b.toml")])
    (tmp_path / "c.toml").write_text('[[tasks]]\nname = "x"\n')
    with pytest.raises(UsageError, match="task x needs either a training table or peaks"):
        read_command_line(["--config", str(tmp_path / "c.toml")])


def test_list_steps_as_json_tells_needs_makes_and_reads():
    outcome = run_here("--profile", "embedded", "--list-steps", "--json")
    steps = {step["name"]: step for step in json.loads(outcome.out)}
    assert "tables/linear_probe_controls.csv" in steps["probe_controls"]["makes"]
    assert "activations/ctcf_shuffled.npz" in steps["probe_controls"]["needs"]
    assert "probe_ci_level" in steps["linear_probes"]["reads"]


TABLE = "sequence,label\n" + "".join(f"{'ACGT' * 10}{'ACGT'[i % 4] * (i + 1)},{i % 2}\n" for i in range(60))


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("t.csv", "", ["t.csv"]),
        ("t.csv", "sequence,label\n", ["no rows"]),
        ("t.csv", "seq,label\nACGT,1\n", ["no column 'sequence'"]),
        ("t.csv", "sequence,label\nMKVLEF,1\nACGT,0\n", ["row 1", "is not DNA"]),
        ("t.csv", "sequence,label\nACGT,1\nACGA,1\n", ["no negative rows"]),
        ("t.csv", "sequence,label\nACGT,yes\nACGA,0\n", ["'yes' is not an integer"]),
        ("t.fna", ">a|1\n>b|0\nACGT\n", ["has no sequence"]),
        ("t.fna", "ACGT\n", ["t.fna"]),
        ("t.fna.gz", b"not gzip", ["is not gzip"]),
        ("t.fna.gz", gzip.compress(b">a|1\n" + b"ACGT" * 900, mtime=0)[:40], ["truncated"]),
        ("t.txt", "x", ["unknown ending"]),
    ],
)
def test_unreadable_task_tables_are_named_with_what_is_wrong(study, tmp_path, name, content, texts):
    before = study.artifacts()
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    configuration = tmp_path / "small.toml"
    configuration.write_text(f'model = "mints:embedded_dnabert2"\n[[tasks]]\nname = "own"\ntrain = "{name}"\n')
    outcome = run_here("--config", configuration, "--results", study.results, "--only-step", "ingest")
    fails(outcome, 1, name, *texts)
    assert study.artifacts() == before


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("chr1\t500\t400\n", ["line 2", "chr1:500-400 ends before it starts"]),
        ("chr1\t100\t99999999\n", ["line 2", "ends beyond chr1"]),
        ("chr7\t100\t200\n", ["line 2", "chr7", "not in"]),
        ("chr1\tabc\t200\n", ["line 2", "whole numbers"]),
        ("chr1\t100\n", ["line 2", "start and end"]),
    ],
)
def test_wrong_intervals_are_named_with_their_line(finished, tmp_path, line, texts):
    (tmp_path / "p.bed").write_text("chr1\t100\t300\n" + line)
    genome = finished[0].results / "simulated_genome/genome.fa"
    outcome = run_here(
        "--config", write(tmp_path / "bare.toml", 'model = "mints:embedded_dnabert2"\n'), "--peaks", tmp_path / "p.bed",
        "--genome", genome, "--results", tmp_path / "r",
    )  # fmt: skip
    fails(outcome, 1, "p.bed", *texts)


def write(path, text):
    path.write_text(text)
    return path


def own_data(tmp_path, *more):
    (tmp_path / "t.csv").write_text(TABLE)
    bare = write(tmp_path / "bare.toml", "probe_bootstrap_samples = 20\n")
    return run_here("--config", bare, "--train", tmp_path / "t.csv", "--test", tmp_path / "t.csv", "--results",
                    tmp_path / "r", *more)  # fmt: skip


def test_a_test_table_equal_to_the_training_table_leaves_nothing_to_train_on(tmp_path):
    fails(own_data(tmp_path, "--model", "mints:embedded_dnabert2"), 1, "task t has no rows in its train set")


def test_missing_and_foreign_checkpoints_are_refused_by_name(study, tmp_path):
    fails(study.run("--only-step", "residual_cache", "--model", "./nowhere"), 1, "model: nowhere does not exist")
    fails(
        study.run("--only-step", "residual_cache", "--family", "esm2"),
        1,
        "is not ESM-2",
        "bert.embeddings",
    )


def test_without_network_the_reference_run_lists_what_it_cannot_reach(tmp_path):
    outcome = run_main("--results", tmp_path / "r", folder=tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert outcome.code == 1
    assert "train: hf://datasets/InstaDeepAI" in outcome.err
    assert "no network? On a machine that has one:" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_step_whose_input_is_missing_names_the_step_that_makes_it(study):
    (study.results / "activations/ctcf_shuffled.npz").unlink()
    fails(study.run("--only-probe-controls"), 1, "needs activations/ctcf_shuffled.npz", "--from-step residual_cache")


def test_an_unknown_motif_is_refused_before_any_work_with_those_that_are_shipped(study):
    before = study.artifacts()
    fails(study.run("--motif", "MA9999.9"), 1, "MA9999.9", "MA0139.1")
    assert study.artifacts() == before


def test_a_layer_that_the_model_lacks_is_refused(study):
    fails(study.run("--only-step", "residual_cache", "--probe-layers", "1,9"), 2, "probe layer 9 does not exist")


def test_main_py_is_the_console_script(capsys):
    assert run_main("--version").out.startswith("mints ")
    assert MAIN.name == "main.py"
