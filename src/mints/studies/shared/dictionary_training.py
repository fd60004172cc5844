"""All dictionaries of a run: which there are, and their training on one stream, which a kill only delays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from mints.features.stream import BEGINNING, ActivationStream, Position
from mints.features.training import Recipe, Trainer
from mints.models.encoder import Encoder
from mints.models.optimisation import load_state, save_state
from mints.pipeline.run import Run
from mints.studies.shared.dictionaries import UNTRAINED, site_folder, sweep_folders
from mints.studies.shared.models import OpenModel

SAVES = 20
"""Times that a run's state is written: what a kill can cost is the time between two of them."""


class Dictionary(NamedTuple):
    """One autoencoder to be trained."""

    encoder: str
    """`model`, or `random_initialisation`."""

    site: str
    k: int
    expansion: int
    seed: int
    folder: str
    """Where it is kept, below the results."""

    def facts(self) -> dict[str, Any]:
        """Columns that name it in tables."""
        return {name: value for name, value in self._asdict().items() if name != "folder"}


def dictionaries(features: Any, encoder: str) -> list[Dictionary]:
    """Those of the sweep and of the seeds at every site; of an untrained encoder, the first k and expansion alone."""
    first = features.k[0], features.expansion[0], features.seed
    found = []
    for site in features.sites:
        found.append(Dictionary(encoder, site, *first, site_folder(site, untrained=encoder == UNTRAINED)))
        if encoder != UNTRAINED:
            sweep = sweep_folders(features.k, features.expansion, features.seeds)
            found += [
                Dictionary(encoder, site, k, expansion, features.seed + seed, f"{site_folder(site)}/{folder}")
                for folder, (k, expansion, seed) in sweep.items()
            ]
    return found


def training_steps(features: Any) -> int:
    """Steps of every training run."""
    return max(1, int(features.training_tokens) // int(features.batch))


def train_dictionaries(
    run: Run, model: OpenModel, encoder: Encoder, corpus: Sequence[str], wanted: Sequence[Dictionary], label: str
) -> dict[Dictionary, Trainer]:
    """Train all of them on the same batches; goes on from where an earlier, killed run of the step was.

    corpus: sequences to learn from. label: of the file that keeps the state.
    """
    features = run.config.features
    steps = training_steps(features)
    stream = ActivationStream(
        encoder,
        model.tokenizer,
        corpus,
        features.sites,
        model.compute,
        seed=features.seed,
        tokens_per_batch=run.config.tokens_per_batch,
    )
    first = stream.chunk(BEGINNING).activations
    trainers = {}
    for dictionary in wanted:
        d_sae = dictionary.expansion * first[dictionary.site].shape[1]
        recipe = Recipe(
            features.kind, dictionary.k, d_sae, steps, features.batch, features.learning_rate, dictionary.seed
        )
        trainers[dictionary] = Trainer(recipe, first[dictionary.site])
    del first
    checkpoint = run.scratch(f"{label}.pt")
    done, place = restore(checkpoint, trainers)
    batches = islice(stream.batches(features.batch, place), steps - done)
    shown = run.track(batches, total=steps - done, description=f"sparse autoencoders ({label})", unit="steps")
    for step, (batch, following) in enumerate(shown, start=done + 1):
        for dictionary, trainer in trainers.items():
            trainer.train(batch[dictionary.site])
        if step % max(1, steps // SAVES) == 0 or step == steps:
            save(checkpoint, trainers, step, following)
    return trainers


def save(path: Path, trainers: dict[Dictionary, Trainer], step: int, place: Position) -> None:
    """Write the state after a step; a reader sees the old file or the new one."""
    state = {"step": step, "place": tuple(place), "trainers": [trainer.state() for trainer in trainers.values()]}
    save_state(path, state)


def restore(path: Path, trainers: dict[Dictionary, Trainer]) -> tuple[int, Position]:
    """Steps that are done and where the next batch begins; the trainers are brought there."""
    state = load_state(path)
    if state is None:
        return 0, BEGINNING
    for trainer, saved in zip(trainers.values(), state["trainers"], strict=True):
        trainer.load_state(saved)
    return state["step"], Position(*state["place"])
