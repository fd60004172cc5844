"""Steps that do not fit together are refused; names lead to steps."""

import pytest
from pebbles import STEPS, Beach

from mints.errors import UsageError
from mints.pipeline.graph import StepGraph
from mints.pipeline.step import StepContractError, step


def nothing(run):
    """Do nothing."""


def graph(steps, root="results", **settings):
    from pathlib import Path

    return StepGraph(steps, Beach(**settings), Path(root), {"colour": ["grey", "white"]})


def test_a_step_is_found_by_name_alias_and_with_dashes():
    steps = [step("weigh_all", aliases=["weighing_of_all"])(nothing)]
    for name in ["weigh_all", "weigh-all", "weighing-of-all"]:
        assert graph(steps).resolve(name).name == "weigh_all"


def test_an_unknown_step_is_told_with_the_close_one_and_all():
    with pytest.raises(
        UsageError, match=r"unknown step 'wiegh' \(did you mean 'weigh'\?\): the steps are gather, weigh, sort, tell"
    ):
        graph(STEPS).resolve("wiegh")


def test_a_step_that_takes_no_part_is_told_so():
    with pytest.raises(UsageError, match="'draw' takes no part"):
        graph(STEPS).resolve("draw")
    assert graph(STEPS, pictures=True).resolve("draw").name == "draw"


def test_an_optional_input_counts_only_where_it_is_made():
    assert graph(STEPS).resolve("tell").needs == ("order.json",)
    assert graph(STEPS, pictures=True).resolve("tell").needs == ("order.json", "figures/order.png")


def test_a_configured_path_to_an_artifact_is_an_input(tmp_path):
    steps = [
        step("forecast", makes=["tides/today.csv", "tides/tomorrow.csv"])(nothing),
        step("swim", reads=["tide_table"])(nothing),
    ]
    assert graph(steps, tmp_path, tide_table=tmp_path / "tides" / "today.csv").steps[1].needs == ("tides/today.csv",)
    assert len(graph(steps, tmp_path, tide_table=tmp_path / "tides").steps[1].needs) == 2
    assert graph(steps, tmp_path, tide_table=tmp_path / "elsewhere.csv").steps[1].needs == ()


def test_upstream_steps_are_found_through_others():
    whole = graph(STEPS, pictures=True)
    assert whole.upstream(["tell"]) == {"gather", "weigh", "sort", "draw"}
    assert whole.upstream(["weigh", "sort"]) == {"gather"}


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([step("a")(nothing), step("b", aliases=["a"])(nothing)], "two steps are called 'a'"),
        ([step("a", makes=["x"])(nothing), step("b", makes=["x"])(nothing)], "x is made by a and b"),
        (
            [step("a", needs=["x"])(nothing), step("b", makes=["x"])(nothing)],
            "'a' needs x, which no earlier step makes",
        ),
        ([step("a", reads=["scale.colour"])(nothing)], "'a' reads a field that there is not"),
    ],
)
def test_steps_that_do_not_fit_together_are_refused(steps, complaint):
    with pytest.raises(StepContractError, match=complaint):
        graph(steps)
