"""Declarations: templates, names, summaries."""

import pytest

from mints.pipeline.step import StepContractError, expand, step


def declared(**fields):
    @step("skim", **fields)
    def skim(run):
        """Skim stones over water.

        More about stones.
        """

    return skim


def test_the_first_docstring_line_is_the_summary():
    assert declared().summary == "Skim stones over water."


def test_templates_expand_over_all_combinations_in_order():
    expanded = expand(
        declared(needs=["{lake}/{stone}.csv", "water.json"], makes=["{stone}.json"]),
        {"lake": ["ness", "como"], "stone": ["flat", "round"]},
    )
    assert expanded.needs == ("ness/flat.csv", "ness/round.csv", "como/flat.csv", "como/round.csv", "water.json")
    assert expanded.makes == ("flat.json", "round.json")


def test_a_template_over_no_values_is_no_artifact():
    assert expand(declared(makes=["{stone}.json"]), {"stone": []}).makes == ()


def test_an_unknown_placeholder_is_refused():
    with pytest.raises(StepContractError, match=r"'skim' declares '\{pond\}.csv', but there are values only for lake"):
        expand(declared(needs=["{pond}.csv"]), {"lake": ["ness"]})


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/a.csv", "a//b.csv", "a\\b.csv", ".lock", "C:/a.csv", ""])
def test_an_artifact_outside_the_results_folder_is_refused(path):
    with pytest.raises(StepContractError, match="not a plain path below the results"):
        declared(makes=[path])


@pytest.mark.parametrize("name", ["Skim", "skim-stones", "1st", ""])
def test_a_step_name_is_a_plain_word(name):
    with pytest.raises(StepContractError, match="step name"):
        step(name)
