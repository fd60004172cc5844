"""The last step of every study: one page from everything that the others have saved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from mints.pipeline.run import Run
from mints.pipeline.step import Step, step

PAGE = "report/index.html"
SHOWN = (".csv", ".json", ".npz")
HIDDEN = ("activations/", "cross_model/", "sparse_autoencoders/", "simulated_", "checkpoint/", "report/")
"""Beginnings of artifacts that are not looked at: caches, weights and simulated sources."""


def report_step(others: Sequence[Step]) -> Step:
    """The step that makes the page of these steps' artifacts."""
    shown = [name for other in others for name in other.makes if is_shown(name)]
    makers = makers_of(others)

    @step("report", may_need=shown, makes=[PAGE], reads=["study", "profile", "seed", "model"])
    def report(run: Run) -> None:
        """Everything that was found, as one page that needs no server and no network."""
        with run.create(PAGE) as temporary:
            temporary.write_text(page_of(run.results, makers), encoding="utf-8")

    return report


def is_shown(artifact: str) -> bool:
    """Whether the page may look at an artifact; its name may hold placeholders."""
    return PurePosixPath(artifact).suffix in SHOWN and not artifact.startswith(HIDDEN)


def makers_of(steps: Iterable[Step]) -> dict[str, str]:
    """Step by the artifacts that it makes, every placeholder as `*`."""
    return {re.sub(r"\{\w+\}", "*", artifact): each.name for each in steps for artifact in each.makes}


def page_of(results: Path, makers: dict[str, str]) -> str:
    """The page of a results folder, as it stands."""
    from mints.report.page.build import build_page
    from mints.report.page.saved import Saved

    return build_page(Saved(results, makers))
