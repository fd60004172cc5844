"""The methods text of a run, from its manifests and tables, and its whole configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mints.pipeline.manifest import StepManifest
from mints.report.page.blocks import Block, Missing, Table, View, Widget
from mints.report.page.saved import Saved
from mints.report.page.views.methods_basecaller import BASECALLER
from mints.report.page.views.methods_features import GENOMIC_FEATURES, SHARED_FEATURES
from mints.report.page.views.methods_genomic import GENOMIC
from mints.report.page.views.methods_heads import HEADS
from mints.report.page.views.methods_protein import PROTEIN
from mints.report.page.views.methods_run import model_sentences, software_sentences, statistics_sentences
from mints.report.page.views.methods_text import Described, Ran, said, written

STEPS: Mapping[str, Mapping[str, Described]] = {
    "genomic": {**GENOMIC, **HEADS, **SHARED_FEATURES, **GENOMIC_FEATURES},
    "protein": {**SHARED_FEATURES, **PROTEIN},
    "basecaller": BASECALLER,
}
"""How the methods tell of each study's steps."""

NAMED = 4
"""Steps that the table of settings names; more are counted."""

RUN, DEFINITIONS, STATED = "pipeline_run.json", "docs/methods.md", "{results}"


def methods(saved: Saved) -> View:
    """The text as one would paste it into a paper, and every setting."""
    question = "What was done, in the order in which it ran, with the settings of this run's manifests and tables?"
    study = saved.configured("study", "genomic")
    ran = [step for step in saved.steps() if step.step in STEPS[study]]
    blocks: list[Block] = []
    if ran:
        note = f"Sections in quotation marks are of {DEFINITIONS}, which defines every measure."
        content = {"file": "methods.md", "sections": sections(saved, ran, STEPS[study])}
        blocks.append(Widget("methods", "Methods of this run", content, RUN, note))
    else:
        blocks.append(Missing("the methods", f"no step of this run has finished. This makes them: {saved.command()}"))
    return View("methods", "Methods", question, [*blocks, *configuration_table(saved)])


def sections(saved: Saved, ran: Sequence[StepManifest], known: Mapping[str, Described]) -> list[dict[str, Any]]:
    """Title, sentences, list and references of the model, every step, the statistics and the software."""
    told = [section("Model", model_sentences(ran))]
    for manifest in ran:
        described, step = known[manifest.step], Ran(manifest, saved)
        sentences = [*described.sentences(step), *otherwise_configured(step)]
        told.append(section(described.title, sentences, described.items(step), described.defined_in))
    told.append(section("Statistics", statistics_sentences(ran), (), ("Intervals",)))
    told.append(section("Software", software_sentences(saved, ran)))
    return [each for each in told if each["text"] or each["items"]]


def section(
    title: str, sentences: Sequence[str], items: Sequence[str] = (), defined_in: Sequence[str] = ()
) -> dict[str, Any]:
    """One section; sentences that say nothing are left out."""
    text = " ".join(sentence.strip() for sentence in sentences if sentence.strip(" ."))
    references = said("Definitions: {listed}.", listed=[f"“{name}”" for name in defined_in])
    return {"title": title, "text": text, "items": [item for item in items if item], "references": references}


def otherwise_configured(step: Ran) -> list[str]:
    """Figures that an earlier run's step was made with and that the latest run has otherwise."""
    differing = [
        f"{field} = {written(value)}"
        for field, value in step.manifest.configuration.items()
        if are_figures(value) and are_figures(now := step.saved.configured(field)) and now != value
    ]
    return [said("This step was made by an earlier run, with {differing}.", differing=differing)]


def are_figures(value: Any) -> bool:
    """Whether a setting is a number or a list of some."""
    return isinstance(value, int | float) or (isinstance(value, list) and bool(value) and all(map(are_figures, value)))


def configuration_table(saved: Saved) -> list[Table]:
    """Every setting of the run, and which steps read it."""
    results = str(saved.configured("results", "")).rstrip("/")
    fields = flat(saved.account.get("configuration", {}))
    readers = {step.step: step.configuration for step in saved.steps()}
    rows = []
    for name, value in fields:
        read_by = [
            step.replace("_", " ") for step, read in readers.items() if any(covers(field, name) for field in read)
        ]
        rows.append(
            [
                name,
                shown_value(value, results),
                ", ".join(read_by) if len(read_by) <= NAMED else f"{len(read_by)} steps",
            ]
        )
    note = "A list of named entries has their names in the setting. Read by: of the steps whose results are here."
    columns = ["setting", "value", "read by"]
    return [Table("Configuration", columns, rows, RUN, note, page_length=25)] if rows else []


def covers(field: str, name: str) -> bool:
    """Whether a field of a manifest is a setting or the section that the setting lies in."""
    return name == field or name.startswith(f"{field}.")


def flat(section: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Settings by dotted name; entries of a list that have a name go by it."""
    rows: list[tuple[str, Any]] = []
    for name, value in section.items():
        inside = by_name(value) if isinstance(value, list) else value
        if isinstance(inside, Mapping) and inside:
            rows += flat(inside, f"{before}{name}.")
        else:
            rows.append((f"{before}{name}", value))
    return rows


def by_name(entries: list[Any]) -> Any:
    """Entries that are sections with a name or a site, by it; any other list as it is."""
    keys = [each.get("name", each.get("site")) if isinstance(each, Mapping) else None for each in entries]
    if not keys or None in keys:
        return entries
    return {str(key): {k: v for k, v in each.items() if v != key} for key, each in zip(keys, entries, strict=True)}


def shown_value(value: Any, results: str) -> str:
    """A setting as text; the results folder stands as its placeholder, as in a profile."""
    if value is None or value == [] or value == {}:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(shown_value(each, results) for each in value)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text.replace(f"{results}/", f"{STATED}/") if results else text
