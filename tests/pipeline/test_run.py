"""What a step function may do, and what it is told when it does more."""

import os
import subprocess
import sys
from io import StringIO

import numpy as np
import pytest
from pebbles import Beach

from mints.errors import MintsError
from mints.pipeline.progress import Reporter
from mints.pipeline.run import Run
from mints.pipeline.step import StepContractError, step


@pytest.fixture
def make_run(tmp_path):
    """A run of a step with the given declarations."""

    def make(reads=("seed", "scale.offset"), name="skim", **declared):
        @step(name, reads=reads, **declared)
        def skim(run):
            """Skim."""

        return Run(skim, Beach(), tmp_path, Reporter(stream=StringIO()), tmp_path / ".work" / "skim-0")

    return make


def test_declared_fields_can_be_read_and_others_not(make_run):
    run = make_run(without_effect=["batch"])
    assert run.config.seed == 0
    assert run.config.batch == 3
    assert run.config.scale.offset == 0.0
    with pytest.raises(StepContractError, match=r"'skim' reads config\.pebbles without declaring it"):
        _ = run.config.pebbles
    with pytest.raises(StepContractError, match=r"reads config\.scale\.unit"):
        _ = run.config.scale.unit
    assert make_run(reads=["scale"]).config.scale.unit == "g"


def test_random_numbers_depend_on_seed_step_and_label_alone(make_run):
    def draw(label, **declared):
        return make_run(**declared).rng(label).integers(2**60)

    assert draw("a") == draw("a", makes=["x.json"])
    assert len({draw("a"), draw("b"), draw("a", name="throw")}) == 3


def test_a_step_can_draw_another_step_s_numbers_again(make_run):
    one, other = make_run(name="catch", reads=["seed"]), make_run(name="throw", reads=["seed"])
    assert one.rng("a").integers(2**60) == other.rng("a", "catch").integers(2**60)
    assert one.rng("a").integers(2**60) != other.rng("a").integers(2**60)


def test_random_numbers_are_the_same_in_another_process_with_other_hashes():
    code = (
        "from pathlib import Path; from types import SimpleNamespace as Config; from mints.pipeline.run import Run;"
        "from mints.pipeline.step import Step;"
        "run = Run(Step('a', None, reads=('seed',)), Config(seed=3), Path(), None, Path());"
        "print(run.rng('b').integers(2**60))"
    )
    drawn = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert len(drawn) == 1


def test_random_numbers_need_the_seed_to_be_declared(make_run):
    with pytest.raises(StepContractError, match=r"reads config\.seed"):
        make_run(reads=[]).rng("a")


def test_undeclared_artifacts_can_be_neither_written_nor_read(make_run, tmp_path):
    (tmp_path / "b.json").write_text("{}")
    run = make_run(makes=["a.json"])
    with pytest.raises(StepContractError, match=r"writes b\.json without declaring it"):
        run.save("b.json", {})
    with pytest.raises(StepContractError, match=r"asks for b\.json, which it neither needs nor has made"):
        run.load("b.json")
    with pytest.raises(StepContractError, match=r"asks for a\.json"):
        run.load("a.json")


def test_an_input_that_is_not_there_is_an_error_of_the_user(make_run):
    with pytest.raises(MintsError, match=r"needs b\.json, which is missing"):
        make_run(needs=["b.json"]).path("b.json")


def test_outputs_take_their_names_together_at_the_end(make_run, tmp_path):
    (tmp_path / "a.json").write_text("old")
    run = make_run(makes=["a.json", "b.json"])
    run.save("a.json", {"new": 1})
    assert run.load("a.json") == {"new": 1}
    assert (tmp_path / "a.json").read_text() == "old"
    with pytest.raises(StepContractError, match=r"ended without making b\.json"):
        run.put_in_place()
    assert (tmp_path / "a.json").read_text() == "old"
    run.save("b.json", {})
    run.put_in_place()
    assert "new" in (tmp_path / "a.json").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_an_output_may_be_written_again_and_a_failing_second_writer_does_not_count(make_run, tmp_path):
    run = make_run(makes=["a.json"])
    run.save("a.json", 1)
    with pytest.raises(TypeError):
        run.save("a.json", object())
    with pytest.raises(StepContractError, match="ended without making"):
        run.put_in_place()


def test_streamed_rows_read_back_as_one_array_beside_the_small_ones(make_run):
    run = make_run(makes=["a.npz"])
    whole = np.arange(12.0).reshape(6, 2)
    run.save_rows("a.npz", {"label": np.arange(6)}, "rows", whole.shape, (whole[start : start + 4] for start in (0, 4)))
    back = run.load("a.npz")
    assert back["rows"].dtype == np.float32
    np.testing.assert_array_equal(back["rows"], whole)
    np.testing.assert_array_equal(back["label"], np.arange(6))


@pytest.mark.parametrize("shape", [(5, 2), (7, 2), (6, 3)])
def test_streamed_rows_that_do_not_add_up_are_refused(make_run, shape):
    with pytest.raises(StepContractError, match=r"rows, not|has shape"):
        make_run(makes=["a.npz"]).save_rows("a.npz", {}, "rows", shape, [np.zeros((6, 2))])


def test_scratch_files_lie_with_the_shards_of_the_step(make_run, tmp_path):
    assert make_run().scratch("weights").parent == tmp_path / ".work" / "skim-0"


def test_facts_are_plain_values(make_run):
    run = make_run()
    run.fact("mean", np.float32(0.5))
    assert run.facts == {"mean": 0.5}
    with pytest.raises(TypeError):
        run.fact("odd", {1, 2})


def test_two_maps_may_not_share_their_checkpoints(make_run):
    run = make_run()
    list(run.map(lambda shard: {"a": np.zeros(1)}, [1], label="x"))
    with pytest.raises(StepContractError, match="'x' twice"):
        run.map(lambda shard: {}, [1], label="x")
