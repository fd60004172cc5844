"""Methods that belong to no step: the model, the statistics that all steps share, software and machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mints.pipeline.manifest import StepManifest
from mints.report.page.saved import Saved
from mints.report.page.views.methods_text import percent, said, written

FAMILIES = {
    "dnabert2": "DNABERT-2",
    "nucleotide_transformer": "Nucleotide Transformer",
    "esm2": "ESM-2",
    "bert": "BERT",
}
SHIPPED = "mints:"


def model_sentences(steps: Sequence[StepManifest]) -> list[str]:
    """Which weights were looked at; of several, each."""
    told = []
    with_model = [step for step in steps if "model" in step.configuration]
    for weights in distinct_values(with_model, lambda step: step.facts.get("model_weights_sha256")):
        step = next(step for step in with_model if step.facts.get("model_weights_sha256") == weights)
        model = str(step.configuration["model"])
        name = f"{model.removeprefix(SHIPPED)}, which comes with MINTS" if model.startswith(SHIPPED) else model
        family = FAMILIES.get(str(step.facts.get("model_family")), step.facts.get("model_family"))
        told += [
            said("The model was {name}.", name=name),
            said("Its revision was {revision}.", revision=step.configuration.get("model_revision")),
            said("It is of the {family} family.", family=family),
            said("SHA-256 of its weights: {weights}.", weights=weights),
        ]
    return list(filter(None, told))


def statistics_sentences(steps: Sequence[StepManifest]) -> list[str]:
    """Resamples, level and seed; where steps differ, which had which."""
    resamples = by_value(steps, lambda step: step.configuration.get("probe_bootstrap_samples"), str_of_number)
    level = by_value(steps, lambda step: step.configuration.get("probe_ci_level"), percent)
    seed = by_value(steps, lambda step: step.configuration.get("seed"), str)
    return list(
        filter(
            None,
            [
                said(
                    "Intervals are quantiles of {resamples} bootstrap resamples, drawn with the run's seed.",
                    resamples=resamples,
                ),
                said("Their level is {level}.", level=level),
                "The unit of resampling is the cluster of like sequences, or what a step names." if resamples else "",
                said("The seed of all random choices of the analyses was {seed}.", seed=seed),
            ],
        )
    )


def software_sentences(saved: Saved, steps: Sequence[StepManifest]) -> list[str]:
    """Versions, device, precision, host, date and commit."""
    account = saved.account
    versions = {name: str(version) for name, version in account.get("versions", {}).items() if name != "mints"}
    host = account.get("host", {})
    return list(
        filter(
            None,
            [
                said("All analyses were made with MINTS {version}.", version=account.get("version")),
                said("Its commit was {commit}.", commit=account.get("git_commit")),
                said(
                    "Versions beside it: {listed}.", listed=[f"{name} {version}" for name, version in versions.items()]
                ),
                said(
                    "The model ran on {device}.",
                    device=by_value(steps, lambda step: step.facts.get("device"), device_name),
                ),
                said(
                    "The precision of matrix products was {precision}.",
                    precision=by_value(steps, lambda step: step.facts.get("precision"), str),
                ),
                said(
                    "The machine had {cores} cores ({platform}).",
                    cores=host.get("cores"),
                    platform=host.get("platform"),
                ),
                said("The run was started on {day}.", day=(account.get("started") or "")[:10] or None),
            ],
        )
    )


def device_name(device: str) -> str:
    """A device as a sentence has it."""
    return {"cpu": "the CPU", "cuda": "a GPU (CUDA)", "mps": "a GPU (Metal)"}.get(device, device)


def str_of_number(value: Any) -> str:
    """A number with its thousands apart."""
    return written(value)


def distinct_values(steps: Sequence[StepManifest], value: Callable[[StepManifest], Any]) -> list[Any]:
    """What the steps have, each value once, without steps that have none."""
    return list(dict.fromkeys(found for step in steps if (found := value(step)) is not None))


def by_value(
    steps: Sequence[StepManifest], value: Callable[[StepManifest], Any], shown: Callable[[Any], str | None]
) -> str | None:
    """The value that all steps have; where they differ, each with its steps; None where no step has one."""
    found = distinct_values(steps, value)
    if len(found) < 2:
        return shown(found[0]) if found else None
    told = []
    for one in found:
        names = [step.step.replace("_", " ") for step in steps if value(step) == one]
        told.append(f"{shown(one)} ({', '.join(names)})")
    return " and ".join(told)
