"""What a tokenizer makes of sequences, per base, so that tokenizers can be compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mints.models.tokenizers import Encoding, Tokenizer


def tokenization_row(tokenizer: Tokenizer, encodings: Sequence[Encoding], bases: int) -> dict[str, float]:
    """Rates of the content tokens of encoded sequences; special tokens are left out.

    bases: of the sequences together. `over_limit_share` are the sequences longer than the model was made for, which are
    run in full all the same.
    """
    ids = np.concatenate([encoding.ids[~encoding.special] for encoding in encodings])
    lengths = np.concatenate([np.diff(encoding.spans[~encoding.special])[:, 0] for encoding in encodings])
    limit = np.inf if tokenizer.max_tokens is None else tokenizer.max_tokens
    ordinary = np.array(sorted(tokenizer.maskable_ids))
    return {
        "sequences": len(encodings),
        "bases": bases,
        "tokens": len(ids),
        "tokens_per_base": len(ids) / bases,
        "mean_bases_per_token": float(lengths.mean()),
        "median_bases_per_token": float(np.median(lengths)),
        "longest_token": int(lengths.max()),
        "unknown_share": float((ids == tokenizer.unknown_id).mean()),
        "single_letter_share": float((lengths == 1).mean()),
        "over_limit_share": float(np.mean([len(encoding.ids) > limit for encoding in encodings])),
        "vocabulary": len(ordinary),
        "vocabulary_used": int(np.isin(ordinary, ids).sum()),
    }
