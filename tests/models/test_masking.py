"""Token streams and masked batches."""

import numpy as np
import pytest
import torch

from mints.models.masking import MaskedBatches, frame_of, masked_losses, token_stream
from mints.models.tokenizers import FixedKmerTokenizer, train_bpe

rng = np.random.default_rng(0)
SEQUENCES = ["".join(rng.choice(list("ACGT"), size=4000)) for _ in range(4)]


@pytest.fixture(scope="module")
def byte_pairs():
    return train_bpe([sequence[i : i + 200] for sequence in SEQUENCES for i in range(0, 4000, 200)], 64)


def test_a_stream_is_the_sequences_themselves_without_special_tokens_or_unknown_bases(byte_pairs):
    stream = token_stream(byte_pairs, [SEQUENCES[0] + "NNNN" + SEQUENCES[1]])
    text = "".join(byte_pairs.vocabulary[token] for token in stream)
    assert text == SEQUENCES[0] + SEQUENCES[1]


def test_a_random_start_shifts_the_frame_of_fixed_kmers():
    tokenizer = FixedKmerTokenizer.generate(3)
    starts = {token_stream(tokenizer, [SEQUENCES[0]], np.random.default_rng(seed))[0] for seed in range(20)}
    assert len(starts) > 5


def test_the_frame_is_the_tokenizer_s_own(byte_pairs):
    frame = frame_of(byte_pairs)
    assert [byte_pairs.vocabulary[i] for i in frame.before] == ["[CLS]"]
    assert [byte_pairs.vocabulary[i] for i in frame.after] == ["[SEP]"]
    kmers = FixedKmerTokenizer.generate(3)
    assert [kmers.vocabulary[i] for i in frame_of(kmers).before] == ["<cls>"]
    assert len(frame_of(kmers).after) == 0


def test_a_batch_hides_the_stated_share_and_remembers_the_truth(byte_pairs):
    stream = token_stream(byte_pairs, SEQUENCES)
    batch = MaskedBatches(stream, byte_pairs, context=50, share=0.2, seed=1).draw(16, always_mask=True)
    assert batch.tokens.shape == (16, 52)
    assert len(batch.chosen) == 16 * 10
    hidden = (batch.tokens == byte_pairs.mask_id).sum(1)
    assert hidden.tolist() == [10] * 16
    assert torch.equal(batch.original.flatten()[batch.chosen], batch.truth)
    kept = torch.ones(batch.tokens.numel(), dtype=torch.bool)
    kept[batch.chosen] = False
    assert torch.equal(batch.tokens.flatten()[kept], batch.original.flatten()[kept])
    assert (batch.chosen % 52 != 0).all()
    assert (batch.chosen % 52 != 51).all()


def test_training_batches_follow_the_80_10_10_rule_with_ordinary_tokens(byte_pairs):
    stream = token_stream(byte_pairs, SEQUENCES)
    batches = MaskedBatches(stream, byte_pairs, context=100, share=0.2, seed=1)
    batch = batches.draw(400)
    seen = batch.tokens.flatten()[batch.chosen]
    masked = (seen == byte_pairs.mask_id).float().mean().item()
    kept = (seen == batch.truth).float().mean().item()
    assert masked == pytest.approx(0.8, abs=0.02)
    assert kept == pytest.approx(0.1 + 0.1 / 59, abs=0.02)
    others = seen[(seen != byte_pairs.mask_id) & (seen != batch.truth)]
    assert set(others.tolist()) <= byte_pairs.maskable_ids


def test_the_same_seed_draws_the_same_batches(byte_pairs):
    stream = token_stream(byte_pairs, SEQUENCES)
    first, same, other = (MaskedBatches(stream, byte_pairs, context=30, share=0.2, seed=s).draw(4) for s in (3, 3, 4))
    assert torch.equal(first.tokens, same.tokens)
    assert not torch.equal(first.tokens, other.tokens)


def test_a_stream_shorter_than_a_window_is_an_error(byte_pairs):
    with pytest.raises(ValueError, match="no window of 50"):
        MaskedBatches(np.arange(5, 15), byte_pairs, context=50, share=0.2, seed=0)


def test_losses_are_negative_log_likelihoods_in_nats():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    losses = masked_losses(logits, torch.tensor([1, 2]))
    torch.testing.assert_close(losses, torch.tensor([np.log(4), np.log(1.25)], dtype=torch.float32))
