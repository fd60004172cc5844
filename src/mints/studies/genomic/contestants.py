"""The models that are compared: the run's own and the others, opened."""

from __future__ import annotations

from typing import Any, NamedTuple

from mints.pipeline.run import Run
from mints.studies.shared.models import OpenModel, open_checkpoint, open_model


class Contestant(NamedTuple):
    """One model of a comparison."""

    name: str
    section: Any
    """Where the configuration describes it."""

    model: OpenModel
    folder: str
    """Where its artifacts lie below the results: nowhere special for the run's own model."""

    @property
    def is_own(self) -> bool:
        """Whether it is the run's own model, whose artifacts earlier steps have made."""
        return not self.folder

    def described(self) -> dict[str, Any]:
        """What it is."""
        encoder, tokenizer, _ = self.model
        architecture = encoder.architecture
        return {
            "name": self.name,
            "checkpoint": self.section.model,
            "revision": self.section.model_revision,
            "tokenizer": type(tokenizer).__name__,
            "vocabulary": len(tokenizer.vocabulary),
            "max_tokens": tokenizer.max_tokens,
            "layers": architecture.n_layers,
            "heads": architecture.n_heads,
            "d_model": architecture.d_model,
            "position": architecture.position,
            "parameters": sum(parameter.numel() for parameter in encoder.parameters()),
        }


def open_contestants(run: Run) -> list[Contestant]:
    """The run's own model first."""
    config = run.config
    others = [
        Contestant(each.name, each, open_checkpoint(run, each, each.name), f"cross_model/{each.name}/")
        for each in config.compared_models
    ]
    return [Contestant(config.model_name, config, open_model(run), ""), *others]
