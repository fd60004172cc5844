"""Old, partial and empty results: every page is made, and what is missing is told with the command that makes it."""

import importlib
import json
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from page.short_runs import STUDIES, write_short_run

from mints.report.page.blocks import Chart, Choice, Missing, Widget
from mints.report.page.build import VIEWS, build_page, chapter
from mints.report.page.needed import lacking
from mints.report.page.page import Libraries, chapter_json
from mints.report.page.saved import Saved
from mints.studies.shared.report import makers_of

WHICHEVER = ("latents/", "circuits/", "substitutions/")
"""Folders where the page shows whichever artifacts there are: that one of several is gone cannot be known."""


MORE = (
    *("tables/latent_effects.csv", "tables/latent_sets.csv"),
    *("tables/integrated_gradients.csv", "tables/universality.csv"),
)
"""Tables of which some chapters need more than others do."""


class Recording(Saved):
    """Artifacts that were asked for and are there."""

    def _path(self, name):
        path = super()._path(name)
        if path is not None:
            self.__dict__.setdefault("asked", {})[name] = None
        return path


@pytest.fixture(scope="module", params=STUDIES)
def short_run(request, tmp_path_factory):
    """Study, results, steps by artifact, and the artifacts that each chapter reads."""
    results = tmp_path_factory.mktemp(request.param)
    write_short_run(request.param, results)
    makers = makers_of(importlib.import_module(f"mints.studies.{request.param}.study").FINDINGS)
    read = {}
    for view in VIEWS[request.param]:
        recording = Recording(results, makers)
        view(recording)
        read[view] = list(recording.__dict__.get("asked", {}))
    assert sum(map(len, read.values())) > 10
    return request.param, results, makers, read


def told(blocks):
    """All advice in a chapter."""
    for block in blocks:
        if isinstance(block, Missing):
            yield block.advice
        elif isinstance(block, Choice):
            for inside in block.options.values():
                yield from told(inside)
        elif isinstance(block, Widget):
            yield json.dumps(block.content, default=str)


@contextmanager
def changed(path, rows=None):
    """A file that is gone for a while, or holds these rows."""
    kept = path.read_bytes()
    path.unlink() if rows is None else rows.to_csv(path, index=False)
    try:
        yield
    finally:
        path.write_bytes(kept)


def test_a_folder_with_nothing_but_its_manifest_has_a_page_that_names_commands(short_run, tmp_path):
    study, results, makers, _ = short_run
    (tmp_path / "pipeline_run.json").write_bytes((results / "pipeline_run.json").read_bytes())
    page = build_page(Saved(tmp_path, makers), Libraries("", "", ""))
    assert page.count('id="blocks-') == len(VIEWS[study])
    for view in VIEWS[study][1:]:
        assert any(
            "This makes" in each and "python main.py" in each
            for each in told(chapter(view, Saved(tmp_path, makers)).blocks)
        ), view


def test_whatever_is_gone_is_named_with_the_step_that_makes_it(short_run):
    _, results, makers, read = short_run
    for view, names in read.items():
        for name in names:
            if name == "pipeline_run.json":
                continue
            with changed(results / name):
                said = list(told(chapter(view, Saved(results, makers)).blocks))
            if not name.startswith(WHICHEVER) and Saved(results, makers).maker(name):
                assert any(name in each and "--from-step" in each for each in said), (view.__name__, name, said)


def test_a_table_without_what_the_page_needs_is_named_as_an_older_version_s(short_run):
    _, results, makers, read = short_run
    for view, names in read.items():
        for name in (each for each in names if each.endswith(".csv")):
            table = pd.read_csv(results / name)
            for column in lacking(name, ())[-1:]:
                with changed(results / name, table.drop(columns=column)):
                    said = list(told(chapter(view, Saved(results, makers)).blocks))
                assert any("older version" in each and column in each for each in said), (view.__name__, name, column)


def test_a_table_with_nothing_but_what_the_page_needs_is_enough(short_run):
    _, results, makers, read = short_run
    for view, names in read.items():
        for name in (each for each in names if each.endswith(".csv") and lacking(each, ())):
            rows = pd.read_csv(results / name)[lacking(name, ())]
            with changed(results / name, rows):
                made = chapter_json(chapter(view, Saved(results, makers)))
            assert f"{name} was made by an older version" not in made or name in MORE, (view.__name__, name)


@pytest.mark.parametrize("kind", ["no rows", "no figures"])
def test_a_table_without_rows_or_figures_draws_no_empty_plot(short_run, kind):
    _, results, makers, read = short_run
    for view, names in read.items():
        for name in (each for each in names if each.endswith(".csv")):
            table = pd.read_csv(results / name)
            fractions = table.select_dtypes("float").columns
            rows = table.iloc[:0] if kind == "no rows" else table.assign(**dict.fromkeys(fractions, np.nan))
            with changed(results / name, rows):
                blocks = json.loads(chapter_json(chapter(view, Saved(results, makers))))
            assert not any(empty(each) for each in charts(blocks)), (view.__name__, name)


def charts(content):
    """All figures of a chapter, however deep."""
    if isinstance(content, list):
        for each in content:
            yield from charts(each)
    elif isinstance(content, dict):
        if content.get("kind") == Chart.kind:
            yield content
        for each in content.values():
            yield from charts(each)


def empty(chart):
    """Whether no trace has a value."""
    values = [np.asarray(trace.get("z", trace.get("y", [])), dtype=object).ravel() for trace in chart["data"]]
    return not any(value is not None for of_trace in values for value in of_trace)


def test_no_step_makes_less_than_the_page_needs(short_run):
    _, results, makers, read = short_run
    known = {name for names in read.values() for name in names}
    for name in known:
        content = Saved(results, makers)
        reader = {".csv": content.table, ".npz": content.arrays, ".json": content.value}[(results / name).suffix]
        assert not lacking(name, reader(name)), name
