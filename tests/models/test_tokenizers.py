"""Tokenizers against the official ones, slow twins of their rules, and the coordinates that they promise."""

import json
import time
from itertools import product

import numpy as np
import pytest
import tokenizers as fast
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, BertTokenizer, EsmTokenizer
from transformers.models.esm.configuration_esm import get_default_vocab_list

from mints.errors import MintsError
from mints.models.tokenizers import (
    BytePairTokenizer,
    FixedKmerTokenizer,
    OverlappingKmerTokenizer,
    ResidueTokenizer,
    load_tokenizer,
    train_bpe,
)

# A T C G weigh more than the rest, so that k-mers and merges occur between the interruptions.
dna = st.text(alphabet="ACGTACGTACGTACGTNacgtnRYé-", max_size=80)
protein = st.text(alphabet="LAGVSERTIDPKQNFYMHWCXBUZO.-lagJ*é", max_size=40)


def random_sequences(count, length, seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), length)) for _ in range(count)]


TRAINED = train_bpe([*random_sequences(200, 200), "TATAAA" * 30], 120)
TOKENIZERS = {
    "bpe": TRAINED,
    "6-mers": FixedKmerTokenizer.generate(),
    "3-mers": FixedKmerTokenizer.generate(3),
    "1-mers": FixedKmerTokenizer.generate(1),
    "residues": ResidueTokenizer.generate(),
    "overlapping": OverlappingKmerTokenizer.generate(),
}
TILING = ["bpe", "6-mers", "3-mers", "1-mers"]


@pytest.fixture(scope="session")
def official(shared):
    """The folder of official tokenizer files, which are for checking only."""
    return shared / "golden" / "tokenizers"


def clean(sequence):
    return "".join(c if c in "ACGT" else "N" for c in (letter.upper() for letter in sequence))


def content(encoding):
    return encoding.ids[~encoding.special], encoding.spans[~encoding.special]


def tokens(tokenizer, sequence):
    return [tokenizer.vocabulary[index] for index in tokenizer.encode(sequence).ids]


# What is promised of every tokenizer


@pytest.mark.parametrize("name", TILING)
@given(sequence=dna)
@settings(max_examples=150)
def test_spans_tile_any_dna_string_and_hold_the_letters_of_their_tokens(name, sequence):
    tokenizer = TOKENIZERS[name]
    ids, spans = content(tokenizer.encode(sequence))
    edges = [0, *spans[:, 1]]
    assert edges[-1] == len(sequence)
    assert spans[:, 0].tolist() == edges[:-1]
    for index, (start, end) in zip(ids, spans, strict=True):
        letters = clean(sequence)[start:end]
        assert tokenizer.vocabulary[index] == letters or (index == tokenizer.unknown_id and letters == "N")


@pytest.mark.parametrize("name", TOKENIZERS)
@given(sequences=st.lists(dna, max_size=6))
@settings(max_examples=60)
def test_many_at_once_are_encoded_as_one_by_one(name, sequences):
    tokenizer = TOKENIZERS[name]
    together = tokenizer.encode_many(sequences)
    assert len(together) == len(sequences)
    for sequence, encoding in zip(sequences, together, strict=True):
        alone = tokenizer.encode(sequence)
        assert all(np.array_equal(a, b) for a, b in zip(encoding, alone, strict=True))
        assert encoding.ids.dtype == encoding.spans.dtype == np.int64
        assert len(encoding.ids) == len(encoding.spans) == len(encoding.special)


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("sequence", ["", "A", "ACGTNACGTA"])
def test_special_tokens_frame_the_sequence_with_empty_spans(name, sequence):
    tokenizer = TOKENIZERS[name]
    encoding = tokenizer.encode(sequence)
    assert set(encoding.ids[encoding.special]) <= tokenizer.special_ids
    assert not set(encoding.ids[~encoding.special]) & tokenizer.special_ids
    assert (encoding.special == (encoding.spans[:, 0] == encoding.spans[:, 1])).all()
    names = tokens(tokenizer, sequence)
    assert names[0] == ("[CLS]" if name in ("bpe", "overlapping") else "<cls>")
    closing = {"bpe": "[SEP]", "overlapping": "[SEP]", "residues": "<eos>"}.get(name)
    assert closing is None or names[-1] == closing
    assert encoding.special.sum() == 1 + (closing is not None)
    if closing:
        assert encoding.spans[-1].tolist() == [len(sequence)] * 2


@pytest.mark.parametrize("name", TOKENIZERS)
def test_maskable_tokens_are_the_ordinary_ones(name):
    tokenizer = TOKENIZERS[name]
    ordinary = "LAGVSERTIDPKQNFYMHWC" if name == "residues" else "ACGT"
    expected = {i for i, t in enumerate(tokenizer.vocabulary) if all(letter in ordinary for letter in t)}
    assert tokenizer.maskable_ids == expected
    count = {"bpe": 115, "6-mers": 4096 + 4, "3-mers": 64 + 4, "1-mers": 4, "residues": 20, "overlapping": 4096}
    assert len(tokenizer.maskable_ids) == count[name]
    assert not tokenizer.maskable_ids & (tokenizer.special_ids | {tokenizer.unknown_id})


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("told", [True, False])
def test_a_saved_tokenizer_is_recognised_and_encodes_alike(name, told, tmp_path):
    family = {"bpe": "dnabert2", "residues": "esm2", "overlapping": "bert"}.get(name, "nucleotide_transformer")
    original = TOKENIZERS[name]
    original.save(tmp_path)
    loaded = load_tokenizer(tmp_path, family if told else None)
    assert type(loaded) is type(original)
    assert loaded.vocabulary == original.vocabulary
    assert loaded.max_tokens == original.max_tokens
    sequence = "ACGTNACGTACGGTAKLMWACGTTATAAACGTACA"
    assert loaded.encode(sequence).ids.tolist() == original.encode(sequence).ids.tolist()


@pytest.mark.parametrize("name", TOKENIZERS)
def test_five_thousand_windows_take_about_a_second(name):
    windows = random_sequences(50, 300) * 100
    start = time.process_time()
    TOKENIZERS[name].encode_many(windows)
    assert time.process_time() - start < 3  # measured 0.1 to 0.6 s; the bound allows for a slower machine


# Byte-pair encoding


def test_dnabert2_gives_the_published_ids(official):
    tokenizer = load_tokenizer(official / "dnabert2")
    encoding = tokenizer.encode("ACGTAGCATCGGATCTATCTATCGACACTTGGTTATCGATCTACGAGCATCTCGTTAGC")
    assert encoding.ids.tolist() == [1, 5, 194, 32, 757, 1239, 2092, 294, 24, 359, 88, 93, 32, 75, 77, 19, 2]
    assert (tokenizer.unknown_id, tokenizer.pad_id, tokenizer.mask_id) == (0, 3, 4)
    assert tokenizer.vocabulary[302] == "TATAAA"
    assert len(tokenizer.vocabulary) == 4096
    assert tokenizer.max_tokens is None


@given(sequence=st.text(alphabet="ACGTACGTACGTN", max_size=300))
@settings(max_examples=100)
def test_byte_pair_ids_and_spans_are_the_library_s_own(official, sequence):
    oracle = fast.Tokenizer.from_file(str(official / "dnabert2" / "tokenizer.json")).encode(sequence)
    encoding = BytePairTokenizer.load(official / "dnabert2").encode(sequence)
    assert encoding.ids.tolist() == oracle.ids
    ours = encoding.spans[~encoding.special].tolist()
    assert ours == [list(span) for span in oracle.offsets[1:-1]]


def merge_by_rank(sequence, merges):
    """Byte-pair encoding by its definition: always the earliest learnt pair, leftmost first."""
    pieces = list(sequence)
    while ranked := [
        (merges[pair], at) for at in range(len(pieces) - 1) if (pair := (pieces[at], pieces[at + 1])) in merges
    ]:
        at = min(ranked)[1]
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces


def test_a_trained_encoding_merges_by_the_order_in_which_it_learnt(tmp_path):
    TRAINED.save(tmp_path)
    learnt = json.loads((tmp_path / "tokenizer.json").read_text())["model"]["merges"]
    merges = {tuple(pair): rank for rank, pair in enumerate(learnt)}
    for sequence in random_sequences(20, 60, seed=4):
        assert tokens(TRAINED, sequence)[1:-1] == merge_by_rank(sequence, merges)


def test_training_gives_the_official_layout(official, tmp_path):
    TRAINED.save(tmp_path)
    ours, theirs = (json.loads((f / "tokenizer.json").read_text()) for f in (tmp_path, official / "dnabert2"))
    our_model, their_model = ours.pop("model"), theirs.pop("model")
    assert ours == theirs
    vocabulary = list(our_model.pop("vocab").items())
    assert vocabulary[:9] == list(their_model.pop("vocab").items())[:9]
    assert vocabulary[9:] == [("".join(pair), 9 + k) for k, pair in enumerate(our_model.pop("merges"))]
    assert len(vocabulary) == 120
    del their_model["merges"]
    assert {key: our_model[key] for key in their_model} == their_model
    published = '{"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "cls_token": "[CLS]", '
    published += '"sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"}'
    assert (tmp_path / "tokenizer_config.json").read_text() == published


def test_training_learns_the_most_frequent_pair_first_and_never_across_n():
    tokenizer = train_bpe(["ACNACNAC", "acac", "GNTGNT"], 10)
    assert tokenizer.vocabulary[9] == "AC"
    assert tokens(train_bpe(["GNTGNTGNT"], 20), "GTN") == ["[CLS]", "G", "T", "[UNK]", "[SEP]"]


def test_training_twice_gives_the_same_merges():
    pieces = random_sequences(300, 100, seed=2)
    assert train_bpe(pieces, 200).vocabulary == train_bpe(pieces[::-1], 200).vocabulary


def test_a_vocabulary_without_room_for_the_bases_is_refused():
    with pytest.raises(ValueError, match="no room for 9"):
        train_bpe(["ACGT"], 8)


def test_transformers_reads_the_trained_tokenizer_as_we_do(tmp_path):
    TRAINED.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.pad_token_id == TRAINED.pad_id
    for sequence in random_sequences(5, 100, seed=9):
        assert theirs(sequence)["input_ids"] == TRAINED.encode(sequence).ids.tolist()


def test_padding_and_truncation_that_a_file_asks_for_are_ignored(tmp_path):
    backend = fast.Tokenizer.from_str(TRAINED._backend.to_str())
    backend.enable_padding(length=200)
    backend.enable_truncation(max_length=4)
    backend.save(str(tmp_path / "tokenizer.json"))
    sequence = "ACGTACGGTTTACAGATTTACAACGGAGAT"
    assert load_tokenizer(tmp_path).encode(sequence).ids.tolist() == TRAINED.encode(sequence).ids.tolist()


# Fixed k-mers


def greedy(sequence, k):
    """The Nucleotide Transformer's rule, letter by letter."""
    cuts, at = [], 0
    while at < len(sequence):
        width = k if len(sequence) - at >= k and "N" not in sequence[at : at + k] else 1
        cuts.append(sequence[at : at + width])
        at += width
    return cuts


def test_the_generated_6_mers_are_the_official_file_line_for_line(official):
    published = (official / "nucleotide_transformer_v2" / "vocab.txt").read_text().splitlines()
    assert FixedKmerTokenizer.generate().vocabulary == published


def test_saved_6_mer_files_are_the_official_ones_byte_for_byte(official, tmp_path):
    load_tokenizer(official / "nucleotide_transformer_v2").save(tmp_path)
    for file in (official / "nucleotide_transformer_v2").iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_nucleotide_transformer_gives_the_published_tokens():
    published = ["<cls>", "ATTCCG", "ATTCCG", "ATTCCG", "ACGTAC", "G", "T", "N", "A", "C", "G", "T"]
    assert tokens(TOKENIZERS["6-mers"], "ATTCCGATTCCGATTCCGACGTACGTNACGT") == published
    assert len(TOKENIZERS["6-mers"].encode("ACGTT" * 50 + "A").ids) == 47


@pytest.mark.parametrize("k", [1, 3, 6])
@given(sequence=dna)
@settings(max_examples=200)
def test_fixed_k_mers_follow_the_greedy_rule(k, sequence):
    assert tokens(TOKENIZERS[f"{k}-mers"], sequence)[1:] == greedy(clean(sequence), k)


@pytest.fixture(scope="session")
def esm_tokenizer(official):
    """The official implementation of the Nucleotide Transformer's tokenizer."""
    return EsmTokenizer.from_pretrained(official / "nucleotide_transformer_v2")


@given(sequence=st.text(alphabet="ACGTACGTACGTN", min_size=1, max_size=120))
@settings(max_examples=60)
def test_fixed_k_mers_are_those_of_the_official_implementation(esm_tokenizer, sequence):
    assert TOKENIZERS["6-mers"].encode(sequence).ids.tolist() == esm_tokenizer(sequence)["input_ids"]


def test_a_vocabulary_that_lacks_a_k_mer_is_refused_by_name(tmp_path):
    TOKENIZERS["3-mers"].save(tmp_path)
    vocabulary = (tmp_path / "vocab.txt").read_text().replace("ACG\n", "")
    (tmp_path / "vocab.txt").write_text(vocabulary)
    with pytest.raises(MintsError, match="has no ACG: not one of fixed k-mers"):
        load_tokenizer(tmp_path)


# Residues


def test_the_residues_are_esm2_s():
    tokenizer = ResidueTokenizer.generate()
    assert tokenizer.vocabulary == list(get_default_vocab_list())
    assert (tokenizer.pad_id, tokenizer.unknown_id, tokenizer.mask_id) == (1, 3, 32)
    assert tokenizer.encode("MKTA").ids.tolist() == [0, 20, 15, 11, 5, 2]


@given(sequence=protein)
@settings(max_examples=150)
def test_every_residue_is_one_token_and_every_other_letter_one_unknown(sequence):
    tokenizer = TOKENIZERS["residues"]
    ids, spans = content(tokenizer.encode(sequence))
    names = [tokenizer.vocabulary[index] for index in ids]
    assert names == [c if c in "LAGVSERTIDPKQNFYMHWCXBUZO.-" else "<unk>" for c in (x.upper() for x in sequence)]
    assert spans.tolist() == [[i, i + 1] for i in range(len(sequence))]


def test_residues_are_those_of_the_official_implementation(tmp_path):
    TOKENIZERS["residues"].save(tmp_path)
    oracle = EsmTokenizer.from_pretrained(tmp_path)
    for sequence in ["MKTAYIAKQR", "ACDEFGHIKLMNPQRSTVWY", "MXBZUO"]:
        assert TOKENIZERS["residues"].encode(sequence).ids.tolist() == oracle(sequence)["input_ids"]


# Overlapping k-mers


def test_dnabert_s_vocabulary_counts_k_mers_in_the_order_atcg():
    tokenizer = OverlappingKmerTokenizer.generate(3)
    assert tokenizer.vocabulary[:7] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "AAA", "AAT"]
    assert tokenizer.vocabulary[5:] == ["".join(kmer) for kmer in product("ATCG", repeat=3)]
    assert len(OverlappingKmerTokenizer.generate(6).vocabulary) == 4101


@given(sequence=dna)
@settings(max_examples=150)
def test_an_overlapping_k_mer_starts_at_every_base_that_has_room_for_it(sequence):
    tokenizer = TOKENIZERS["overlapping"]
    ids, spans = content(tokenizer.encode(sequence))
    letters = clean(sequence)
    windows = [letters[at : at + 6] for at in range(len(letters) - 5)] or ([letters] if letters else [])
    assert [tokenizer.vocabulary[i] for i in ids] == ["[UNK]" if "N" in w or len(w) < 6 else w for w in windows]
    assert spans.tolist() == [[at, at + len(window)] for at, window in enumerate(windows)]


def test_overlapping_k_mers_are_those_of_the_official_implementation(tmp_path):
    TOKENIZERS["overlapping"].save(tmp_path)
    oracle = BertTokenizer.from_pretrained(tmp_path)
    for sequence in ["ACGTACGGTA", "TTTTTTT", "ACGTANCCGTACG"]:
        words = " ".join(sequence[at : at + 6] for at in range(len(sequence) - 5))
        assert TOKENIZERS["overlapping"].encode(sequence).ids.tolist() == oracle(words)["input_ids"]


# Refusals


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "has no tokenizer: expected tokenizer.json or vocab.txt"),
        ({"vocab.txt": "\n\n"}, "vocab.txt is empty"),
        ({"vocab.txt": "[CLS]\n[SEP]\nAAA"}, r"the vocabulary has no \[UNK\], \[PAD\], \[MASK\]"),
        ({"vocab.txt": "<cls>\n<unk>\n<cls>"}, "the vocabulary lists '<cls>' twice"),
        ({"vocab.txt": "<cls>\n<pad>\n<mask>\n<unk>\n<eos>\n<bos>"}, "not one of fixed k-mers"),
        ({"tokenizer.json": "{"}, "tokenizer.json is not JSON"),
        ({"tokenizer.json": "[]"}, "tokenizer.json is not a JSON object"),
        ({"tokenizer.json": '{"model": {"type": "WordPiece"}}'}, "is not a byte-pair encoding"),
        ({"tokenizer.json": '{"model": {"type": "BPE"}}'}, "cannot be read as a tokenizer"),
    ],
)
def test_files_that_are_no_tokenizer_are_refused_in_one_line(files, complaint, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(MintsError, match=complaint) as refusal:
        load_tokenizer(tmp_path)
    assert str(tmp_path) in str(refusal.value)


@pytest.mark.parametrize(
    ("family", "file"),
    [
        ("dnabert2", "tokenizer.json"),
        ("esm2", "vocab.txt"),
        ("nucleotide_transformer", "vocab.txt"),
        ("bert", "vocab.txt"),
    ],
)
def test_the_file_that_a_family_needs_is_named(family, file, tmp_path):
    with pytest.raises(MintsError, match=f"has no {file}"):
        load_tokenizer(tmp_path, family)
    with pytest.raises(MintsError, match="there is no checkpoint folder"):
        load_tokenizer(tmp_path / "absent", family)


def test_a_fixed_kmer_checkpoint_may_name_its_length_instead_of_listing_its_vocabulary(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text('{"kmer_length": 3}')
    loaded = load_tokenizer(tmp_path, "nucleotide_transformer")
    assert loaded.vocabulary == FixedKmerTokenizer.generate(3).vocabulary
