"""A motif question, opened: its sequences, its scorer, and what counts as a site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from mints.analysis.token_roles import AskedMotif
from mints.config import MotifQuestion
from mints.data.conservation import conserved_site
from mints.data.counterfactuals import Boundaries, SiteRule
from mints.data.motif_scores import SITE_P, MotifScorer, Windows, estimate_motif, motif_scorer, sites
from mints.data.motifs import load_motif
from mints.errors import UsageError
from mints.models.tokenizers import Tokenizer
from mints.pipeline.run import Run

ANCHORED_SHARE = 0.01
"""An anchored site counts as destroyed below the score that this share of the training sites falls short of."""


DRAWN_BY = "qk_alignment"
"""The step whose sequences and resamples the other steps draw again."""


class OpenQuestion(NamedTuple):
    """What the steps of the evidence stack need to know about one question."""

    name: str
    scorer: MotifScorer
    threshold: float
    """Bits from which a window is a site."""

    anchor: int | None
    core: tuple[int, int] | None

    def sites(self, windows: Windows, label: int) -> Int[ndarray, "site 2"]:
        """Sites of one sequence: found by scanning, or the known one of a positive sequence."""
        if self.anchor is None:
            return sites(windows, self.scorer.width, self.threshold)
        known = [[self.anchor, self.anchor + self.scorer.width]] if label == 1 else []
        return np.array(known, dtype=np.int64).reshape(-1, 2)

    def asked(self) -> AskedMotif:
        """What the assignment of token roles needs."""
        return AskedMotif(self.scorer, self.sites)

    def permuted(self, rng: np.random.Generator) -> OpenQuestion:
        """The question of a motif with the same columns in another order, whose sites are as rare."""
        scorer = self.asked().permuted(rng)
        rarity = float(np.maximum(self.scorer.p_value(np.array([self.threshold]))[0], SITE_P))
        return OpenQuestion(f"{self.name} permuted", scorer, scorer.threshold(rarity), None, None)

    def rule(self) -> SiteRule:
        """What a counterfactual has to destroy."""
        return SiteRule(self.best_windows, self.scorer.width, self.threshold, self.anchor, self.core)

    def best_windows(self, sequences: Sequence[str]) -> list[ndarray]:
        """Log-odds of the better strand at every window start."""
        return [windows.bits for windows in self.scorer.windows(sequences)]


def open_question(question: MotifQuestion, table: pd.DataFrame) -> OpenQuestion:
    """The question's scorer and threshold; an anchored matrix is estimated from the task's training positives."""
    if question.motif is not None:
        scorer = motif_scorer(load_motif(question.motif))
        return OpenQuestion(question.name, scorer, scorer.threshold(), None, None)
    assert question.anchor is not None
    training = table[(table["split"] == "train") & (table["label"] == 1)]["sequence"].tolist()
    anchor, core = question.anchor, question.core
    if anchor == "conserved":
        anchor, found = conserved_site(training, question.width)
        core = core or found
    motif = estimate_motif(training, anchor, question.width, motif_id=f"{question.name}_anchored", name=question.name)
    scorer = motif_scorer(motif)
    at_anchor = [windows.bits[anchor] for windows in scorer.windows(training) if len(windows.bits)]
    known = [bits for bits in at_anchor if np.isfinite(bits)]
    return OpenQuestion(question.name, scorer, float(np.quantile(known, ANCHORED_SHARE)), anchor, core)


def feature_question(config: Any) -> Any:
    """The motif question whose probe is the behaviour that latents are judged by.

    Raises UsageError where the configuration names one that is not asked.
    """
    asked = {question.name: question for question in config.motif_questions}
    name = config.features.circuit_question or next(iter(asked))
    if name not in asked:
        raise UsageError(f"features.circuit_question {name!r} is not a motif question: choose {', '.join(asked)}")
    return asked[name]


def asked_sequences(run: Run, question: Any, cap: int | None) -> pd.DataFrame:
    """The task's rows, at most `cap`, drawn at random in equal shares from both labels, in the order of the table.

    Every step draws the same rows; a smaller cap, some of them.
    """
    table: pd.DataFrame = run.load(f"tasks/{question.task}.parquet")
    if cap is None or len(table) <= cap:
        return table
    order = pd.Series(run.rng(f"{question.name} sequences", DRAWN_BY).permutation(len(table)), index=table.index)
    place = order.groupby(table["label"]).rank(method="first")
    chosen: pd.DataFrame = table.loc[place.sort_values(kind="stable").index[:cap]]
    return chosen.sort_index().reset_index(drop=True)


def boundaries(tokenizer: Tokenizer) -> Boundaries:
    """Spans of the content tokens, for the search of edits that keep them."""

    def spans(sequences: Sequence[str]) -> list[Int[ndarray, "token 2"]]:
        return [encoding.spans[~encoding.special] for encoding in tokenizer.encode_many(sequences)]

    return spans
