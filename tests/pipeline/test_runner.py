"""A study is run, gone on with, and remade where it has to be."""

import errno
import json
from pathlib import Path

import numpy as np
import pebbles
import pytest

from mints.errors import MintsError, UsageError
from mints.pipeline.artifacts import read_json
from mints.pipeline.lock import locked
from mints.pipeline.step import StepContractError, step

NAMES = ["gather", "weigh", "sort", "tell"]


def ran(summary):
    return [record.name for record in summary.steps if record.status == "ran"]


def reasons(pipeline, **options):
    return {decision.step.name: decision.reason for decision in pipeline.plan(**options) if decision.runs}


def contents(root):
    """Bytes of every artifact: everything but manifests, locks and caches."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and "manifests" not in path.parts
        if path.name != "pipeline_run.json"
    }


def test_a_study_runs_once_and_is_then_complete(study, root):
    assert ran(study().run()) == NAMES
    assert read_json(root / "story.json")["order"][0] in pebbles.COLOURS
    assert ran(study().run()) == []
    assert reasons(study()) == {}


def test_results_are_what_the_steps_compute(study, root):
    study(scale={"offset": 1.5}).run()
    weights = [np.load(root / "beach" / f"{colour}.npz")["diameter"] ** 3 + 1.5 for colour in pebbles.COLOURS]
    order = read_json(root / "order.json")
    assert order[pebbles.COLOURS[0]] == pytest.approx(weights[0].mean(), rel=1e-7)
    assert order[pebbles.COLOURS[1]] == pytest.approx(weights[1].mean(), rel=1e-7)


def test_two_folders_with_one_seed_hold_the_same_bytes_and_another_seed_others(study, tmp_path):
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        study(tmp_path / name, seed=seed, pictures=True).run()
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a")["tables/weights.csv"] != contents(tmp_path / "c")["tables/weights.csv"]


def test_only_what_a_changed_field_reaches_is_remade(study):
    study().run()
    changed = study(heaviest_first=False)
    assert reasons(changed) == {
        "sort": "configuration changed: heaviest_first true -> false",
        "tell": "step 'sort' runs before it",
    }
    assert ran(changed.run()) == ["sort", "tell"]


def test_a_remade_step_with_the_same_bytes_does_not_drag_others_along(study, root):
    study().run()
    (root / "order.json").unlink()
    assert reasons(study()) == {"sort": "output order.json is missing", "tell": "step 'sort' runs before it"}
    assert ran(study().run()) == ["sort"]


def test_a_field_without_effect_remakes_nothing(study):
    study().run()
    assert reasons(study(batch=5)) == {}


def test_a_flipped_byte_is_found_and_remade(study, root):
    study().run()
    before = contents(root)
    damaged = bytearray(before["beach/grey.npz"])
    damaged[200] ^= 1
    (root / "beach" / "grey.npz").write_bytes(damaged)
    assert reasons(study())["gather"] == "output beach/grey.npz was changed on disk"
    assert ran(study().run()) == ["gather"]
    assert contents(root) == before


def test_an_input_file_counts_by_content_not_by_name(study, tmp_path):
    (tmp_path / "tides").write_text("low")
    study(tide_table=tmp_path / "tides").run()
    (tmp_path / "moved").write_text("low")
    assert reasons(study(tide_table=tmp_path / "moved")) == {}
    (tmp_path / "moved").write_text("high")
    assert reasons(study(tide_table=tmp_path / "moved"))["gather"] == "configuration changed: content of tide_table"


def test_changed_code_is_a_reason(study, monkeypatch):
    study().run()
    monkeypatch.setattr("mints.pipeline.planner.code_version", lambda function: "new")
    assert set(reasons(study()).values()) == {"its code changed"}


def test_first_plan_says_what_never_ran_and_writes_nothing(study, root):
    assert set(reasons(study()).values()) == {"never run"}
    assert not root.exists()


def test_from_step_forces_it_and_all_later_ones(study):
    study().run()
    pipeline = study()
    assert reasons(pipeline, from_step="weighing") == dict.fromkeys(NAMES[1:], "forced by --from-step")
    assert ran(pipeline.run(from_step="weigh")) == NAMES[1:]


def test_only_step_runs_alone(study):
    study().run()
    assert ran(study().run(only_step="weigh")) == ["weigh"]


def test_overwrite_runs_everything(study):
    study().run()
    assert ran(study().run(overwrite=True)) == NAMES


def test_from_and_only_exclude_each_other(study):
    with pytest.raises(UsageError, match="not both"):
        study().run(from_step="sort", only_step="sort")


@pytest.mark.parametrize("options", [{"from_step": "sort"}, {"only_step": "sort"}])
def test_a_missing_input_names_the_step_that_makes_it(study, options):
    for attempt in (study().plan, study().run):
        with pytest.raises(
            MintsError,
            match=r"step 'sort' needs tables/weights\.csv, which is missing: run with --from-step weigh$",
        ):
            attempt(**options)


def test_a_changed_input_is_not_used_when_its_maker_is_not_run(study, root):
    study().run()
    before = read_json(root / "pipeline_run.json")
    (root / "tables" / "weights.csv").write_text("grey,white\n1,2\n")
    with pytest.raises(
        MintsError, match=r"tables/weights\.csv, which was changed since 'weigh' made it: run with --from-step weigh$"
    ):
        study().run(from_step="sort")
    assert read_json(root / "pipeline_run.json") == before
    assert ran(study().run()) == ["weigh"]


def test_an_input_that_no_run_recorded_is_not_used(study, root):
    study().run()
    (root / "manifests" / "weigh.json").write_text("{")
    with pytest.raises(MintsError, match="which no recorded run made"):
        study().run(only_step="sort")
    assert reasons(study())["weigh"] == "never run"


def test_an_outdated_earlier_step_is_a_warning(study, root):
    study().run()
    summary = study(seed=5).run(only_step="tell")
    assert summary.warnings == [
        "step 'gather' is out of date (configuration changed: seed 0 -> 5) and is not remade; "
        "--from-step gather remakes it"
    ]
    assert summary.warnings[0] in read_json(root / "pipeline_run.json")["warnings"]


def test_another_profile_is_refused(study):
    study().run()
    other = study(profile="south_shore")
    for attempt in (other.run, other.plan, other.status):
        with pytest.raises(MintsError, match=r"holds results of profile 'north_shore', not 'south_shore'"):
            attempt()


def test_a_folder_in_use_is_refused(study, root):
    with locked(root), pytest.raises(MintsError, match="is in use by process"):
        study().run()
    assert ran(study().run()) == NAMES


def test_manifests_tell_what_was_made_from_what(study, root):
    summary = study(seed=3).run()
    run = read_json(root / "pipeline_run.json")
    weigh = read_json(root / "manifests" / "weigh.json")
    gather = read_json(root / "manifests" / "gather.json")
    assert json.dumps(summary.as_json()) == json.dumps(run)
    assert run["status"] == "complete"
    assert run["configuration"]["seed"] == 3
    assert run["versions"]["mints"] == "1.0"
    assert run["facts"] == {"weigh": {"pebbles": 24}}
    assert run["warnings"] == ["weigh: the scale is old"]
    assert [record["status"] for record in run["steps"]] == ["ran"] * 4
    assert weigh["inputs"] == {name: output["sha256"] for name, output in gather["outputs"].items()}
    assert weigh["bytes_written"] == (root / "tables" / "weights.csv").stat().st_size
    assert weigh["seconds"] > 0
    assert run["steps"][1]["outputs"] == weigh["outputs"]


def test_skipped_steps_keep_their_facts_in_the_account_of_the_run(study, root):
    study().run()
    study().run()
    run = read_json(root / "pipeline_run.json")
    assert [record["status"] for record in run["steps"]] == ["skipped"] * 4
    assert run["facts"] == {"weigh": {"pebbles": 24}}


def broken_sort(error):
    """The study with a third step that writes one of its outputs and then fails."""

    @step("sort", needs=pebbles.sort.needs, makes=pebbles.sort.makes, reads=pebbles.sort.reads)
    def sort(run):
        """Fail."""
        run.save("order.json", {"broken": 1})
        raise error

    return [sort if each.name == "sort" else each for each in pebbles.STEPS]


@pytest.mark.parametrize(("error", "status"), [(ValueError("a crab"), "failed"), (KeyboardInterrupt(), "interrupted")])
def test_a_step_that_ends_badly_is_recorded_and_changes_nothing(study, root, error, status):
    study().run()
    before = contents(root)
    with pytest.raises(type(error)):
        study(steps=broken_sort(error)).run(from_step="sort")
    run = read_json(root / "pipeline_run.json")
    assert run["status"] == status
    assert [record["status"] for record in run["steps"]] == ["skipped", "skipped", status, "pending"]
    assert run["steps"][2]["error"].startswith(type(error).__name__)
    assert contents(root) == before
    assert not list(root.rglob("*.tmp"))
    assert ran(study().run()) == []


def test_a_step_that_does_not_make_what_it_declares_is_refused(study):
    @step("idle", makes=["nothing.json"])
    def idle(run):
        """Rest."""

    with pytest.raises(StepContractError, match=r"'idle' ended without making nothing\.json"):
        study(steps=[idle]).run()


def test_a_full_disk_ends_the_run_with_a_clear_error_and_loses_nothing(study, root, monkeypatch):
    study().run()
    before = contents(root)
    write_text = Path.write_text

    def full(path, *arguments, **options):
        if "lightest" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_text(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(MintsError, match=r"disk full while writing .*lightest\.txt"):
            study(heaviest_first=False).run()
    assert contents(root) == before
    assert ran(study(heaviest_first=False).run()) == ["sort", "tell"]


def test_status_tells_how_every_step_stands(study, root):
    assert [status.state for status in study().status()] == ["missing"] * 4
    study().run()
    complete = study().status()
    assert [status.state for status in complete] == ["complete"] * 4
    assert complete[1].output_bytes == (root / "tables" / "weights.csv").stat().st_size
    assert complete[1].finished is not None
    (root / "story.json").unlink()
    changed = study(heaviest_first=False).status()
    assert [status.state for status in changed] == ["complete", "complete", "outdated", "missing"]
    assert changed[2].reason == "configuration changed: heaviest_first true -> false"
    with pytest.raises(ValueError, match="a crab"):
        study(steps=broken_sort(ValueError("a crab")), heaviest_first=False).run()
    failed = study(heaviest_first=False).status()[2]
    assert (failed.state, failed.reason) == ("failed", "ValueError: a crab")


def test_status_while_at_work_says_so(study, root):
    seen = []

    @step("watch", makes=["seen.json"])
    def watch(run):
        """Look at the run from outside."""
        seen.extend(study(steps=[watch]).status())
        run.save("seen.json", 1)

    study(steps=[watch]).run()
    assert [status.state for status in seen] == ["running"]
