"""What a masked language model makes of single-letter substitutions (docs/methods.md, Substitution effects)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from mints.data.motif_scores import MotifScorer
from mints.models.activations import TOKENS_PER_BATCH
from mints.models.batching import in_batches, pad, token_counts
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Encoding, Tokenizer

COMPLEMENT = str.maketrans("ACGT", "TGCA")


class Substitutions(NamedTuple):
    """Single-letter changes of some sequences."""

    sequence: Int[ndarray, "change"]
    """Index of the sequence."""

    position: Int[ndarray, "change"]
    letter: list[str]
    """What stands there afterwards."""


class TokenChanges(NamedTuple):
    """The substitutions that change one token and leave every boundary where it is."""

    kept: Int[ndarray, "kept"]
    """Indices into the substitutions that were given."""

    sequence: Int[ndarray, "kept"]
    place: Int[ndarray, "kept"]
    """Index of the changed token in its encoding."""

    wild_type: Int[ndarray, "kept"]
    mutant: Int[ndarray, "kept"]
    """Ids of that token."""

    encodings: list[Encoding]
    """Of the mutants."""

    refused: dict[str, int]
    """How many of the others: `unchanged` (the same letter), `boundaries` (some token begins or ends elsewhere),
    `several_tokens` (overlapping tokens change together), `unknown_letter` (a token that is not of known letters)."""


def site_substitutions(
    sites: pd.DataFrame, found: pd.DataFrame, scorer: MotifScorer, rng: np.random.Generator
) -> pd.DataFrame:
    """Every other base at every place of the sites, and the same substitution at a place outside all sites.

    A control stands where the sequence has the same base, and takes the offset of the place that it is matched to. A
    place for which no such base is left has none.
    """
    rows: list[dict[str, Any]] = []
    bits = scorer.columns / scorer.units_per_bit
    for index, site in enumerate(sites.to_dict("records")):
        sequence, start, end, forward = site["sequence"], site["start"], site["end"], site["strand"] == "+"
        covered = np.zeros(len(sequence), dtype=bool)
        for first, last in found.loc[found["name"] == site["name"], ["start", "end"]].to_numpy():
            covered[first:last] = True
        free = {base: rng.permutation(_places(sequence, base, ~covered)).tolist() for base in "ACGT"}
        for position in range(start, end):
            base = sequence[position]
            if base not in free:
                continue
            offset = position - start if forward else end - 1 - position
            control = free[base].pop() if free[base] else None
            for other in "ACGT".replace(base, ""):
                letters = base + other if forward else (base + other).translate(COMPLEMENT)
                row = {"sequence": index, "name": site["name"], "cluster": site["cluster"], "offset": offset}
                row |= {"strand": site["strand"], "wild_type": base, "mutant": other}
                row |= {"motif_wild_type": letters[0], "motif_mutant": letters[1]}
                before, after = (bits[offset, "ACGT".index(letter)] for letter in letters)
                rows.append(row | {"kind": "site", "position": position, "bits_change": after - before})
                if control is not None:
                    rows.append(row | {"kind": "control", "position": control, "bits_change": np.nan})
    columns = ["sequence", "name", "cluster", "kind", "offset", "strand", "position", "wild_type", "mutant"]
    return pd.DataFrame(rows, columns=[*columns, "motif_wild_type", "motif_mutant", "bits_change"])


def _places(sequence: str, base: str, allowed: ndarray) -> ndarray:
    letters = np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)
    return np.flatnonzero((letters == ord(base)) & allowed)


def mutant(sequence: str, position: int, letter: str) -> str:
    """The sequence with another letter at one position."""
    return sequence[:position] + letter + sequence[position + 1 :]


def token_changes(
    sequences: Sequence[str], encodings: Sequence[Encoding], substitutions: Substitutions, tokenizer: Tokenizer
) -> TokenChanges:
    """Which substitutions are the exchange of one token for another of the vocabulary at the same place.

    encodings: of the sequences. Every mutant is tokenized whole, since a merge may reach across boundaries.
    """
    mutants = [mutant(sequences[row], int(at), letter) for row, at, letter in zip(*substitutions, strict=True)]
    refused = dict.fromkeys(("unchanged", "boundaries", "several_tokens", "unknown_letter"), 0)
    rows: list[tuple[int, ...]] = []
    kept_encodings: list[Encoding] = []
    for index, (row, changed) in enumerate(zip(substitutions.sequence, tokenizer.encode_many(mutants), strict=True)):
        original = encodings[row]
        reason = _refusal(sequences[row], mutants[index], original, changed, tokenizer)
        if reason:
            refused[reason] += 1
            continue
        (place,) = np.flatnonzero(original.ids != changed.ids)
        rows.append((index, int(row), int(place), int(original.ids[place]), int(changed.ids[place])))
        kept_encodings.append(changed)
    kept, sequence, place_of, wild_type, mutant_id = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    return TokenChanges(kept, sequence, place_of, wild_type, mutant_id, kept_encodings, refused)


def _refusal(sequence: str, mutated: str, original: Encoding, changed: Encoding, tokenizer: Tokenizer) -> str:
    if sequence == mutated:
        return "unchanged"
    if not np.array_equal(original.spans, changed.spans):
        return "boundaries"
    places = np.flatnonzero(original.ids != changed.ids)
    if len(places) != 1:
        return "several_tokens"
    ids = {int(original.ids[places[0]]), int(changed.ids[places[0]])}
    return "" if ids <= tokenizer.maskable_ids else "unknown_letter"


def wild_type_marginals(
    encoder: Encoder, encodings: Sequence[Encoding], changes: TokenChanges, compute: Compute
) -> Float[ndarray, "kept"]:
    """Nats by which the mutant token is likelier than the wild-type one at that token, unmasked (Meier et al. 2021).

    The model sees the wild-type token, and may copy it: a low score need not mean that it knows what belongs there.
    """
    sequence, context = np.unique(changes.sequence, return_inverse=True)
    return _log_ratios(encoder, [encodings[row] for row in sequence], context, changes, compute)


def masked_marginals(
    encoder: Encoder, encodings: Sequence[Encoding], changes: TokenChanges, mask_id: int, compute: Compute
) -> Float[ndarray, "kept"]:
    """The same with the token hidden, one token at a time: what the sequence around it says."""
    tokens, context = np.unique(np.stack([changes.sequence, changes.place]), axis=1, return_inverse=True)
    hidden = []
    for row, place in tokens.T:
        ids = encodings[row].ids.copy()
        ids[place] = mask_id
        hidden.append(encodings[row]._replace(ids=ids))
    return _log_ratios(encoder, hidden, context, changes, compute)


def joint_masked_marginals(
    encoder: Encoder,
    encodings: Sequence[Encoding],
    changes: TokenChanges,
    groups: Sequence[Int[ndarray, "member"]],
    mask_id: int,
    compute: Compute,
) -> Float[ndarray, "group"]:
    """Sum over the changes of each group, with the tokens of the whole group hidden at once.

    groups: indices into the changes; those of one group are of one sequence. A group of one has its masked marginal.
    """
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    member = np.concatenate([np.zeros(0, dtype=np.int64), *groups])
    places = [(int(changes.sequence[group[0]]), *np.sort(changes.place[group]).tolist()) for group in groups]
    contexts = {place: index for index, place in enumerate(dict.fromkeys(places))}
    hidden = []
    for row, *chosen in contexts:
        ids = encodings[row].ids.copy()
        ids[chosen] = mask_id
        hidden.append(encodings[row]._replace(ids=ids))
    context = np.array([contexts[place] for place in places], dtype=np.int64)[owner]
    taken = changes._replace(**{name: getattr(changes, name)[member] for name in ("place", "wild_type", "mutant")})
    ratios = _log_ratios(encoder, hidden, context, taken, compute)
    return np.bincount(owner, ratios, minlength=len(groups))


def _log_ratios(
    encoder: Encoder,
    read: Sequence[Encoding],
    context: Int[ndarray, "kept"],
    changes: TokenChanges,
    compute: Compute,
) -> Float[ndarray, "kept"]:
    """read: what the model sees; context: which of these each change is scored in."""
    scores = np.full(len(context), np.nan)

    def score(rows: Int[ndarray, "batch"]) -> tuple[Int[ndarray, "some"], Float[ndarray, "some"]]:
        batch = pad(read, rows, encoder.architecture.pad_id)
        line = np.full(len(read), -1)
        line[rows] = np.arange(len(rows))
        which = np.flatnonzero(line[context] >= 0)
        at = torch.from_numpy(line[context[which]]), torch.from_numpy(changes.place[which])
        residual = encoder.run(batch.tokens.to(compute.device), batch.real.to(compute.device)).residual[at]
        log_p = encoder.logits(residual).double().log_softmax(-1).cpu().numpy()
        one = np.arange(len(which))
        return which, log_p[one, changes.mutant[which]] - log_p[one, changes.wild_type[which]]

    with compute.inference():
        budget = TOKENS_PER_BATCH[compute.device.type]
        for _, (which, ratios) in in_batches(score, token_counts(read), budget, compute):
            scores[which] = ratios
    return scores
