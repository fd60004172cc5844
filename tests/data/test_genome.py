"""The genome on disk: what is read back, that it is made once, and that damage is found."""

import gzip
import multiprocessing
import os
import time
import tracemalloc
from itertools import product

import numpy as np
import pyfaidx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mints.data import genome as genome_module
from mints.data import sequences
from mints.data.genome import Genome, pack
from mints.data.sequences import encode
from mints.errors import MintsError


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "genomes"


@pytest.fixture
def write(tmp_path):
    def write(content: bytes, name: str = "some.fa"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def genome(write, cache):
    return Genome.open(write(b">chr1 the first\nACGTacgtNN\nGGCC\n>chr20\nTTTTT\n"), cache)


def copies(cache):
    """The files that count, without locks."""
    return sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock"))


def test_a_genome_gives_half_open_pieces_by_the_first_word_of_the_header(genome):
    assert list(genome.lengths.items()) == [("chr1", 14), ("chr20", 5)]
    assert genome.fetch("chr1", 3, 12) == "TACGTNNGG"
    assert genome.fetch("chr20", 0, 5) == "TTTTT"
    assert genome.fetch("chr20", 5, 5) == ""
    assert genome.fetch("chr1", 0, 0) == ""


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (4, 3), (10, 15)])
def test_a_place_beyond_a_chromosome_is_refused_not_cut_short(genome, start, end):
    with pytest.raises(MintsError, match=rf"chr1:{start}-{end} is outside .*some.fa, where chr1 has 14 bases"):
        genome.fetch("chr1", start, end)


@pytest.mark.parametrize(("asked", "hint"), [("1", "it has chr1:"), ("chr2", "it has chr20:"), ("MT", "$")])
def test_an_unknown_chromosome_names_one_of_a_similar_name(genome, asked, hint):
    with pytest.raises(MintsError, match=rf"chromosome {asked} is not in .*some.fa(; )?{hint}"):
        genome.fetch(asked, 0, 1)


@given(st.text("ACGTN", max_size=40))
def test_a_byte_holds_three_letters(text):
    words = ["".join(word) for word in product("ACGTN", repeat=3)]
    padded = text + "A" * (-len(text) % 3)
    assert list(pack(encode(text))) == [words.index(padded[i : i + 3]) for i in range(0, len(padded), 3)]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text("ACGTNacgtnRU", min_size=1, max_size=50), min_size=1, max_size=4),
    width=st.integers(1, 9),
    batch=st.integers(1, 40),
)
def test_every_piece_of_every_chromosome_is_that_of_the_text(tmp_path, cache, texts, width, batch):
    path = tmp_path / "any.fa"
    lines = [
        f">c{i}\n" + "".join(t[j : j + width] + "\n" for j in range(0, len(t), width)) for i, t in enumerate(texts)
    ]
    path.write_text("".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequences, "BATCH", batch)
        genome = Genome.open(path, cache)
    for number, text in enumerate(texts):
        plain = text.upper().replace("U", "T").replace("R", "N")
        for start in range(len(plain) + 1):
            for end in range(start, len(plain) + 1):
                assert genome.fetch(f"c{number}", start, end) == plain[start:end]
    assert genome.counts.bases == sum(map(len, texts))
    assert genome.counts.replaced == {x: n for x in "RU" if (n := sum(text.count(x) for text in texts))}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b">a\nA\n>a x\nC\n", "two sequences called 'a'"),
        (b">\nA\n", "nameless record"),
        (b">a\nAC\n>b\n", "record 'b' has no sequence"),
        (b">a\n>b\nAC\n", "record 'a' has no sequence"),
        (b">a\nACGT\nMKVLE\n", "line 3: letter 'L' is not DNA"),
        (b"", "some.fa is empty"),
        (gzip.compress(b">a\n" + b"ACGT" * 9999, mtime=0)[:-9], "damaged or truncated gzip"),
    ],
)
def test_a_bad_genome_is_one_clear_line_and_leaves_nothing_behind(write, cache, content, message):
    with pytest.raises(MintsError, match=message):
        Genome.open(write(content), cache)
    assert copies(cache) == []


def test_a_missing_genome_a_folder_and_a_cache_that_cannot_be_written_are_said_to_be_so(write, tmp_path, cache):
    with pytest.raises(MintsError, match=r"none.fa does not exist"):
        Genome.open(tmp_path / "none.fa", cache)
    with pytest.raises(MintsError, match=r"cannot be read"):
        Genome.open(tmp_path, cache)
    (tmp_path / "file").touch()
    with pytest.raises(MintsError, match=r"cannot keep a copy of .*some.fa in .*file"):
        Genome.open(write(b">a\nAC\n"), tmp_path / "file")


def refuse(*_):
    raise AssertionError("the FASTA file was read again")


def test_a_genome_is_copied_once_whatever_its_file_is_called(write, cache, monkeypatch):
    content = b">a x\nACRT\r\nnn\n>b\nU\n"
    first = Genome.open(write(content, "one.fa"), cache)
    monkeypatch.setattr(genome_module, "fasta_pieces", refuse)
    second = Genome.open(write(content, "two.fa"), cache)
    assert (second.lengths, second.counts, second.sha256) == (first.lengths, first.counts, first.sha256)
    assert second.fetch("a", 0, 6) == "ACNTNN"
    assert second.counts.replaced == {"R": 1, "U": 1}
    assert len(copies(cache)) == 2


def test_another_genome_at_the_same_place_is_another_copy(write, cache):
    assert Genome.open(write(b">a\nACGT\n"), cache).fetch("a", 0, 4) == "ACGT"
    assert Genome.open(write(b">a\nTTTT\n"), cache).fetch("a", 0, 4) == "TTTT"


@pytest.mark.parametrize("suffix", [".bases", ".json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "empty"])
def test_a_damaged_copy_is_made_anew(write, cache, suffix, damage):
    path = write(b">a\n" + b"ACGTTNGCA" * 40 + b"\n")
    whole = Genome.open(path, cache).fetch("a", 0, 360)
    (copy,) = cache.glob(f"*{suffix}")
    content = copy.read_bytes()
    if damage == "remove":
        copy.unlink()
    else:
        # The note's last number is the chromosome's length: a flip makes another number of it, and no broken JSON.
        place = content.rindex(b"360") if suffix == ".json" else len(content) // 2
        flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        copy.write_bytes({"flip": flipped, "cut": content[:-3], "empty": b""}[damage])
    again = Genome.open(path, cache)
    assert again.lengths == {"a": 360}
    assert again.fetch("a", 0, 360) == whole
    assert copy.read_bytes() == content


def test_what_a_killed_copy_left_behind_is_removed(write, cache):
    path = write(b">a\nACGT\n")
    Genome.open(path, cache)
    (copy,) = cache.glob("*.bases")
    left_behind = copy.with_name(f".{copy.name}.99999.tmp")
    left_behind.write_bytes(b"half")
    copy.unlink()
    Genome.open(path, cache)
    assert not left_behind.exists()


def open_slowly(path, cache, made):
    """Copy with a pause, and tell that it was this process that read the FASTA file."""
    whole = genome_module.fasta_pieces

    def slow(*arguments):
        made.put(os.getpid())
        time.sleep(0.5)
        return whole(*arguments)

    genome_module.fasta_pieces = slow
    assert Genome.open(path, cache).fetch("a", 0, 4) == "ACGT"


def test_two_processes_that_want_one_genome_wait_for_each_other(write, cache):
    path = write(b">a\nACGT\n")
    context = multiprocessing.get_context("fork")
    made = context.Queue()
    workers = [context.Process(target=open_slowly, args=(path, cache, made)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert made.get(timeout=5) in [worker.pid for worker in workers]
    assert made.empty()


def test_a_long_chromosome_is_never_whole_in_memory(write, cache):
    line = b"ACGTACGTTGCANNACGTAacgtacgtagctagctagcatcgatcgatcgat"
    path = write(b">a\n" + (line + b"\n") * 800_000, "long.fa")
    tracemalloc.start()
    genome = Genome.open(path, cache)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert genome.lengths["a"] == 800_000 * len(line)
    assert peak < genome.lengths["a"]
    assert genome.fetch("a", 777_777 * len(line), 777_778 * len(line)) == line.upper().decode()


def test_a_real_genome_reads_as_pyfaidx_reads_it(shared, cache, tmp_path):
    yeast = shared / "real" / "genomes" / "sacCer3_chrIV.fa"
    genome = Genome.open(yeast, cache)
    oracle = pyfaidx.Fasta(str(yeast), indexname=str(tmp_path / "yeast.fai"))
    rng = np.random.default_rng(0)
    (name,) = genome.lengths
    for start in rng.integers(0, genome.lengths[name] - 700, size=50).tolist():
        assert genome.fetch(name, start, start + 700) == str(oracle[name][start : start + 700]).upper()
