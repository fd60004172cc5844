"""From a results folder to its page."""

from __future__ import annotations

from collections.abc import Callable

from mints.report.page.blocks import Missing, View
from mints.report.page.page import Libraries, render
from mints.report.page.saved import Saved
from mints.report.page.views.basecaller_calibration import basecaller_calibration
from mints.report.page.views.basecaller_patching import basecaller_patching
from mints.report.page.views.basecaller_reads import basecaller_reads
from mints.report.page.views.behaviours import behaviours
from mints.report.page.views.calibration import calibration
from mints.report.page.views.circuits import circuits
from mints.report.page.views.dictionaries import dictionaries
from mints.report.page.views.front import front, headline
from mints.report.page.views.head import head
from mints.report.page.views.head_circuits import head_circuits
from mints.report.page.views.heads import heads
from mints.report.page.views.interventions import interventions
from mints.report.page.views.latents import latents
from mints.report.page.views.methods import methods
from mints.report.page.views.models import models
from mints.report.page.views.motifs import motifs
from mints.report.page.views.probes import probes
from mints.report.page.views.substitutions import substitutions

VIEWS: dict[str, tuple[Callable[[Saved], View], ...]] = {
    "genomic": (
        front,
        probes,
        heads,
        head,
        motifs,
        head_circuits,
        calibration,
        dictionaries,
        interventions,
        latents,
        circuits,
        models,
        methods,
    ),
    "protein": (front, substitutions, behaviours, dictionaries, latents, circuits, methods),
    "basecaller": (front, basecaller_reads, basecaller_patching, basecaller_calibration, methods),
}
"""Chapters of each study's page, in their order."""


def build_page(saved: Saved, library: Libraries | None = None) -> str:
    """The page of a run, from whatever it has saved."""
    views = [chapter(view, saved) for view in VIEWS[saved.configured("study", "genomic")]]
    return render(f"MINTS · {headline(saved)}", {"started": saved.account.get("started")}, views, library)


def chapter(view: Callable[[Saved], View], saved: Saved) -> View:
    """One chapter; at its end what it asked for in vain and did not tell of itself."""
    own = Saved(saved.results, saved.makers)
    made = view(own)
    return made._replace(blocks=[*made.blocks, *(Missing("more of this chapter", each) for each in own.untold())])
