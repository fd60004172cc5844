"""Deep-mutational-scanning tables: what is read, what is refused and counted, and what is an error."""

import gzip
import itertools

import pytest

from mints.data.deep_mutational_scan import Change, read_scan
from mints.data.residues import RESIDUES
from mints.errors import MintsError

WILD = "MKWVAC"
HEADER = "mutant,mutated_sequence,DMS_score,DMS_score_bin\n"


def mutated(*changes):
    letters = list(WILD)
    for change in changes:
        letters[int(change[1:-1]) - 1] = change[-1]
    return "".join(letters)


def table(folder, lines, header=HEADER, name="scan.csv"):
    path = folder / name
    path.write_text(header + "".join(f"{line}\n" for line in lines))
    return path


def rows(*mutants):
    return [f"{mutant},{mutated(*mutant.split(':'))},{-0.5 * n},{n % 2}" for n, mutant in enumerate(mutants)]


def test_singles_and_multiple_mutants_are_read_with_the_wild_type_that_they_all_come_from(tmp_path):
    scan = read_scan(table(tmp_path, rows("K2A", "W3F", "A5C:K2R", "M1L:W3A:C6S")))
    assert scan.wild_type == WILD
    assert [variant.name for variant in scan.variants] == ["K2A", "W3F", "K2R:A5C", "M1L:W3A:C6S"]
    assert scan.variants[2].changes == (Change("K", 1, "R"), Change("A", 4, "C"))
    assert [variant.score for variant in scan.variants] == [0.0, -0.5, -1.0, -1.5]
    assert [variant.functional for variant in scan.variants] == [0, 1, 0, 1]
    assert [variant.of(WILD) for variant in scan.variants] == [mutated(*v.name.split(":")) for v in scan.variants]
    assert len(scan.singles()) == 2
    assert not any(scan.refused.values())


def test_every_mutant_of_a_whole_scan_gives_back_its_own_sequence(tmp_path):
    mutants = [f"{a}{at + 1}{b}" for at, a in enumerate(WILD) for b in RESIDUES if a != b]
    pairs = [":".join(pair) for pair in itertools.combinations(mutants[::9], 2) if pair[0][1] != pair[1][1]]
    lines = [f"{name},{mutated(*name.split(':'))},1.5," for name in mutants + pairs]
    scan = read_scan(table(tmp_path, lines))
    assert len(scan.variants) == len(mutants) + len(pairs) == 6 * 19 + len(pairs)
    assert {variant.of(scan.wild_type) for variant in scan.variants} == {
        mutated(*n.split(":")) for n in mutants + pairs
    }
    assert {variant.functional for variant in scan.variants} == {None}


def test_what_is_no_substitution_is_left_out_and_counted_by_reason(tmp_path):
    lines = rows("K2A", "W3F")
    lines += [f"{odd},{WILD},-1,0" for odd in ("A5A", "_wt", "WT", "p.=")]
    lines += [f"{odd},{WILD},-1,0" for odd in ("K2del", "K2_W3insAG", "K2-", "W3fs", "K2A:W3del")]
    lines += [f"K2*,{WILD},-1,0", f"K2X,{WILD},-1,0", f"K2B,{WILD},-1,0"]
    lines += [f"{odd},{WILD},-1,0" for odd in ("", "hello", "K0A", "2A", "K2A:K2C", "Lys2Ala")]
    lines += [f"K2C,{mutated('K2C')},,", f"K2D,{mutated('K2D')},nan,0", f"K2E,{mutated('K2E')},low,1"]
    lines += [f"K2A,{mutated('K2A')},-9,0"]
    scan = read_scan(table(tmp_path, lines))
    assert [variant.name for variant in scan.variants] == ["K2A", "W3F"]
    assert scan.refused == {
        "synonymous": 4,
        "insertion_or_deletion": 5,
        "stop": 1,
        "unknown_residue": 2,
        "unreadable": 6,
        "no_score": 3,
        "repeated": 1,
    }
    assert sum(scan.refused.values()) + len(scan.variants) == len(lines)


def test_a_synonymous_part_of_a_multiple_mutant_is_no_change(tmp_path):
    scan = read_scan(table(tmp_path, [f"K2A:V4V,{mutated('K2A')},1,1", *rows("W3F")]))
    assert [variant.name for variant in scan.variants] == ["K2A", "W3F"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (
            f"K2A,{mutated('K2C')},1,1",
            r"line 4: mutated_sequence is not the wild type that the other rows give with K2A",
        ),
        (f"R2A,{mutated('K2A')},1,1", r"line 4: R2A does not fit the wild type .*: K stands there"),
        (f"K9A,{WILD},1,1", r"line 4: K9A does not fit .*: it has 6 residues"),
        (f"K2A,{mutated('K2A')[:-1]},1,1", r"line 4: mutated_sequence is not"),
        (f"K2A,{mutated('K2A')},1,2", r"line 4: DMS_score_bin is '2', not 0 or 1"),
    ],
)
def test_a_row_that_contradicts_the_others_is_named_by_its_line(tmp_path, line, complaint):
    with pytest.raises(MintsError, match=complaint):
        read_scan(table(tmp_path, [*rows("W3F", "V4A"), line]))
    with pytest.raises(MintsError, match=complaint.replace("line 4", "line 2")):
        read_scan(table(tmp_path, [line, *rows("W3F", "V4A")]))


def test_the_files_of_high_impact_mutations_are_read_by_their_three_columns(tmp_path):
    header = "wt_residue,position,mut_residue,esm2_t33_650M_UR50D,DMS_score\n"
    path = table(tmp_path, ["K,2,A,-8.1,-3.5", "W,3,F,-2,-3.1"], header)
    with pytest.raises(MintsError, match="no mutated_sequence to tell the wild type from: give the scan a wild_type"):
        read_scan(path)
    scan = read_scan(path, WILD)
    assert [(variant.name, variant.score) for variant in scan.variants] == [("K2A", -3.5), ("W3F", -3.1)]
    with pytest.raises(MintsError, match="line 2: K2A does not fit the wild type that was given: A stands there"):
        read_scan(path, "MAWVAC")


def test_tabs_gzip_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    text = (HEADER + "".join(f"{row}\n" for row in rows("K2A", "W3F"))).replace(",", "\t").replace("\n", "\r\n")
    path = tmp_path / "scan.tsv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.encode()))
    assert [variant.name for variant in read_scan(path).variants] == ["K2A", "W3F"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no column"),
        ("mutant,score\nK2A,1\n", "has no column DMS_score"),
        ("mutation,DMS_score\nK2A,1\n", "has no column wt_residue, position, mut_residue"),
        (HEADER, "no substitution with a score .it has no rows."),
        (HEADER + f"_wt,{WILD},1,1\nK2del,{WILD},1,1\n", "1 synonymous, 1 insertion_or_deletion"),
    ],
)
def test_a_table_without_a_scan_is_told_in_one_line(tmp_path, text, complaint):
    path = tmp_path / "scan.csv"
    path.write_text(text)
    with pytest.raises(MintsError, match=complaint) as raised:
        read_scan(path)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_text_is_told(tmp_path):
    path = tmp_path / "scan.csv.gz"
    path.write_bytes(gzip.compress(b"mutant")[:-3])
    with pytest.raises(MintsError, match=r"scan\.csv\.gz cannot be read as a table"):
        read_scan(path)
