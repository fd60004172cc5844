"""Token streams and masked batches."""

import numpy as np
import pytest
import torch

from mints.models.masking import MaskedBatches, MaskedSequences, frame_of, masked_losses, token_stream
from mints.models.tokenizers import FixedKmerTokenizer, ResidueTokenizer, train_bpe

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


RESIDUES = ResidueTokenizer.generate()
PROTEINS = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), size=size)) for size in rng.integers(20, 120, 60)]


def proteins(context=60, share=0.15, seed=0, sequences=PROTEINS):
    return MaskedSequences(RESIDUES.encode_many(sequences), RESIDUES, context=context, share=share, seed=seed)


def text_of(row):
    return [RESIDUES.vocabulary[token] for token in row if token != RESIDUES.pad_id]


def test_a_batch_holds_whole_proteins_between_their_ends_or_crops_without_the_ends_that_they_lack():
    drawn = proteins()
    whole = cropped = 0
    for _ in range(12):
        for row in drawn.draw(8).original:
            letters = text_of(row)
            begins, ends = letters[0] == "<cls>", letters[-1] == "<eos>"
            inner = "".join(letters[begins : len(letters) - ends])
            if begins and ends:
                assert inner in PROTEINS
                whole += 1
                continue
            cropped += 1
            (source,) = [protein for protein in PROTEINS if inner in protein]
            assert len(inner) == 60 < len(source)
            assert (begins, ends) == (source.startswith(inner), source.endswith(inner))
    assert whole > 10
    assert cropped > 10


def test_every_protein_has_its_share_of_ordinary_residues_hidden_and_nothing_else():
    odd = ["MKX" * 20, "MKLVAAGW", "XBZX", *PROTEINS]
    hidden = np.zeros(len(odd))
    seen = []
    for numbers, batch in proteins(context=200, sequences=odd).once(7):
        masked = batch.tokens == RESIDUES.mask_id
        assert torch.equal(masked.flatten().nonzero().flatten(), batch.chosen)
        assert torch.equal(batch.original.flatten()[batch.chosen], batch.truth)
        assert set(batch.truth.tolist()) <= RESIDUES.maskable_ids
        assert torch.equal(batch.tokens[~masked], batch.original[~masked])
        assert batch.content == sum(len(odd[number]) for number in numbers)
        for number, row in zip(numbers, batch.original, strict=True):
            assert "".join(text_of(row)[1:-1]) == odd[number]
        hidden[numbers] = masked.sum(1)
        seen += numbers.tolist()
    assert sorted(seen) == list(range(len(odd)))
    ordinary = [sum(residue not in "XBZ" for residue in protein) for protein in odd]
    assert hidden.tolist() == [min(count, max(1, round(0.15 * count))) for count in ordinary]


def test_proteins_of_like_length_are_drawn_together_and_each_in_proportion_to_its_length():
    drawn = proteins(context=200, seed=4)
    of_text = {protein: number for number, protein in enumerate(PROTEINS)}
    times = np.zeros(len(PROTEINS))
    pads = tokens = 0
    for _ in range(400):
        batch = drawn.draw(8)
        pads += int((batch.original == RESIDUES.pad_id).sum())
        tokens += batch.original.numel()
        for row in batch.original.tolist():
            times[of_text["".join(text_of(row)[1:-1])]] += 1
    assert pads / tokens < 0.08
    lengths = np.array([len(protein) for protein in PROTEINS])
    order = lengths.argsort()
    halves = [times[half].sum() / lengths[half].sum() for half in (order[:30], order[30:])]
    assert halves[0] / halves[1] == pytest.approx(1, abs=0.2)


def test_no_sequences_are_an_error():
    with pytest.raises(ValueError, match="no sequences"):
        proteins(sequences=[])
