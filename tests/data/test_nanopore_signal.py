"""Reading nanopore signal, Bonito's normalisation, and chunks."""

import sys
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest
from optional import pod5_library

from mints.data.nanopore.chunks import cut, stitch
from mints.data.nanopore.normalisation import Normalisation, Scaling, normalise, scaling_of, trimmed_samples
from mints.data.nanopore.reading import pack, read_signals, unpack
from mints.errors import MintsError

IDS = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"]


def write_pod5(path, signals, ids=IDS, scale=0.18, offset=-240.0):
    """A POD5 file of raw samples by the library's own writer, calibrated as (raw + offset) · scale."""
    pod5 = pod5_library()
    now = datetime(2026, 1, 1, tzinfo=UTC)
    run = pod5.RunInfo(
        acquisition_id="a", acquisition_start_time=now, adc_max=4095, adc_min=-4096, context_tags={},
        experiment_name="", flow_cell_id="", flow_cell_product_code="", protocol_name="", protocol_run_id="",
        protocol_start_time=now, sample_id="", sample_rate=4000, sequencing_kit="", sequencer_position="",
        sequencer_position_type="", software="", system_name="", system_type="", tracking_id={},
    )  # fmt: skip
    with pod5.Writer(path) as writer:
        for number, (name, signal) in enumerate(zip(ids, signals, strict=False)):
            writer.add_read(
                pod5.Read(
                    read_id=UUID(name),
                    pore=pod5.Pore(1, 1, "pore"),
                    calibration=pod5.Calibration(offset, scale),
                    read_number=number,
                    start_sample=0,
                    median_before=0.0,
                    end_reason=pod5.EndReason(reason=pod5.EndReasonEnum.SIGNAL_POSITIVE, forced=False),
                    run_info=run,
                    signal=np.asarray(signal, dtype=np.int16),
                )  # fmt: skip
            )
    return path


@pytest.fixture
def raw():
    return np.random.default_rng(0).integers(300, 900, size=(2, 500)).astype(np.int16)


def test_pod5_current_is_calibrated_and_keeps_its_sample_rate(tmp_path, raw):
    reads = list(read_signals(write_pod5(tmp_path / "a.pod5", raw)))
    assert [read.read for read in reads] == IDS
    assert [read.sample_rate for read in reads] == [4000, 4000]
    for read, samples in zip(reads, raw, strict=True):
        assert read.current == pytest.approx((samples.astype(float) - 240.0) * 0.18, rel=1e-6)


def test_a_folder_s_pod5_files_are_read_one_after_another_and_one_read_can_be_asked_for(tmp_path, raw):
    write_pod5(tmp_path / "b.pod5", raw[:1], IDS[:1])
    write_pod5(tmp_path / "a.pod5", raw[1:], IDS[1:])
    assert [read.read for read in read_signals(tmp_path)] == IDS[::-1]
    (wanted,) = read_signals(tmp_path, only=[IDS[0]])
    assert wanted.read == IDS[0]
    assert len(wanted.current) == 500


def test_a_read_that_is_not_there_or_is_there_twice_is_named(tmp_path, raw):
    path = write_pod5(tmp_path / "a.pod5", raw)
    with pytest.raises(MintsError, match="a.pod5 has no read 00000000-0000-4000-8000-000000000009"):
        list(read_signals(path, only=["00000000-0000-4000-8000-000000000009"]))
    write_pod5(tmp_path / "b.pod5", raw[:1])
    with pytest.raises(MintsError, match=f"two reads {IDS[0]}"):
        list(read_signals(tmp_path))


@pytest.mark.parametrize("kept", [0, 10, 900, -20])
def test_a_truncated_pod5_file_is_an_error_of_one_line(tmp_path, raw, kept):
    whole = write_pod5(tmp_path / "a.pod5", raw).read_bytes()
    (tmp_path / "cut.pod5").write_bytes(whole[:kept])
    with pytest.raises(MintsError, match="cut.pod5 is a damaged or truncated POD5 file") as caught:
        list(read_signals(tmp_path / "cut.pod5"))
    assert "\n" not in str(caught.value)


def test_without_the_library_the_error_says_what_to_install(tmp_path, raw, monkeypatch):
    path = write_pod5(tmp_path / "a.pod5", raw)
    monkeypatch.setitem(sys.modules, "pod5", None)
    with pytest.raises(MintsError, match=r"needs the pod5 library: pip install"):
        list(read_signals(path))


def test_reads_of_different_lengths_survive_packing(tmp_path):
    signals = {"one": np.arange(5, dtype=np.float32), "two": np.arange(3, dtype=np.float32) + 100}
    np.savez(tmp_path / "reads.npz", **pack(signals), sample_rate=5000)
    reads = list(read_signals(tmp_path / "reads.npz"))
    assert [(read.read, read.sample_rate) for read in reads] == [("one", 5000), ("two", 5000)]
    assert np.array_equal(reads[1].current, [100, 101, 102])
    assert [read.read for read in read_signals(tmp_path / "reads.npz", only=["two"])] == ["two"]


def test_rows_of_an_array_are_reads_and_their_sample_rate_is_asked_for(tmp_path):
    np.save(tmp_path / "rows.npy", np.arange(12.0).reshape(3, 4))
    reads = list(read_signals(tmp_path / "rows.npy", sample_rate=4000))
    assert [read.read for read in reads] == ["0", "1", "2"]
    assert reads[2].current.tolist() == [8, 9, 10, 11]
    with pytest.raises(MintsError, match="does not state its sample_rate"):
        list(read_signals(tmp_path / "rows.npy"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.zeros(3)}, "is no file of reads"),
        ({"signal": np.array(["a"])}, "is no file of reads"),
        ({"signal": np.zeros(3), "lengths": np.array([1, 1])}, "do not add up to its 3 samples"),
        ({"signal": np.zeros((2, 3)), "read_ids": np.array(["a", "a"])}, "2 reads and 1 read_ids"),
        ({"signal": np.array([1.0, np.nan])}, "values that are no number"),
    ],
)
def test_arrays_that_are_no_reads_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "reads.npz", **arrays)
    with pytest.raises(MintsError, match=message):
        list(read_signals(tmp_path / "reads.npz", sample_rate=5000))


def test_what_is_not_there_or_of_another_kind_is_refused(tmp_path):
    (tmp_path / "reads.txt").write_text("1 2 3")
    (tmp_path / "reads.npz").write_text("1 2 3")
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("absent.pod5", "does not exist"),
        ("reads.txt", "is no file of reads: expected a .pod5 file"),
        ("reads.npz", "is a damaged file of arrays"),
        ("empty", "has no .pod5 file"),
    ):
        with pytest.raises(MintsError, match=message):
            list(read_signals(tmp_path / name, sample_rate=1))


def test_unpacking_names_numbered_reads():
    assert list(unpack({"signal": np.zeros((2, 3))}, None)) == ["0", "1"]


def test_the_pa_strategy_subtracts_the_pore_s_mean_and_divides_by_its_deviation():
    scaling = scaling_of(np.array([1.0]), Normalisation(mean=90.0, standard_deviation=20.0))
    assert scaling == (90.0, 20.0)
    assert normalise(np.array([70.0, 90.0, 130.0]), scaling).tolist() == [-1.0, 0.0, 2.0]
    assert scaling_of(np.array([1.0]), Normalisation(standardise=False)) == (0.0, 1.0)


def test_the_quantile_strategy_by_hand():
    current = np.arange(101.0)  # the 20th and 90th quantiles are 20 and 90
    settings = Normalisation(strategy="quantile")
    assert scaling_of(current, settings) == pytest.approx((0.51 * 110, 0.53 * 70))
    assert scaling_of(current * 0, settings) == (10.0, 1.0)  # the least shift and scale


def test_median_and_mad_by_hand():
    settings = Normalisation(strategy="med_mad")
    assert scaling_of(np.array([1.0, 2.0, 4.0, 8.0, 100.0]), settings) == pytest.approx((4.0, 1.4826 * 3.0))
    assert scaling_of(np.full(9, 4.0), settings) == (4.0, 1.0)


def slow_trim(current, threshold):
    """The rule window by window, as its description says it."""
    seen = False
    within = min(8000, len(current))
    begin = 10
    while begin + 40 <= within:
        window = current[begin : begin + 40]
        seen = seen or sum(value > threshold for value in window) > 3
        if seen and not window[-1] > threshold:
            return 10 if begin + 40 >= within or (begin + 40) / len(current) > 0.3 else begin + 40
        begin += 40
    return 10


def test_trimming_ends_with_the_first_window_that_ends_below_the_threshold_after_a_peak():
    strand, pore = np.zeros(2000), np.full(200, 5.0)
    assert trimmed_samples(np.concatenate([pore, strand]), Scaling(0.0, 1.0)) == 210
    assert trimmed_samples(np.concatenate([strand[:100], pore, strand]), Scaling(0.0, 1.0)) == 330
    assert trimmed_samples(strand, Scaling(0.0, 1.0)) == 10
    assert trimmed_samples(np.concatenate([pore, strand[:300]]), Scaling(0.0, 1.0)) == 10  # more than three tenths
    assert trimmed_samples(np.zeros(5), Scaling(0.0, 1.0)) == 5


def test_a_peak_has_more_than_three_samples_above_the_threshold():
    for above, trimmed in ((3, 10), (4, 50)):
        current = np.zeros(2000)
        current[20 : 20 + above] = 5.0
        assert trimmed_samples(current, Scaling(0.0, 1.0)) == trimmed


@pytest.mark.parametrize("seed", range(8))
def test_trimming_is_the_same_as_going_window_by_window(seed):
    rng = np.random.default_rng(seed)
    current = rng.normal(size=int(rng.integers(40, 9000)))
    current[int(rng.integers(0, 200)) :][: int(rng.integers(0, 400))] += 4
    scaling = scaling_of(current, Normalisation(strategy="med_mad"))
    assert trimmed_samples(current, scaling) == slow_trim(current, scaling.shift + 2.4 * scaling.scale)


def windowed_sums(signal, step, reach):
    """One value per step: the sum from `reach` samples before the step to as many behind it, zeros beyond the ends."""
    padded = np.pad(signal, (reach, reach + step))
    return np.array([padded[at : at + 2 * reach + step].sum() for at in range(0, len(signal), step)])


@pytest.mark.parametrize("length", [700, 1200, 1201, 3997, 4000, 100])
def test_chunks_put_together_are_the_whole_read_exactly(length):
    signal = np.random.default_rng(length).normal(size=length).astype(np.float32)
    chunks = cut(signal, size=600, overlap=120, step=12)
    assert (chunks.starts % 12 == 0).all()
    outputs = np.stack([windowed_sums(chunk, 12, 48) for chunk in chunks.signal])
    joined = stitch(outputs, chunks)
    assert joined.shape == (-(-length // 12),)
    assert joined == pytest.approx(windowed_sums(signal, 12, 48), abs=1e-4)


def test_a_window_that_reaches_beyond_half_the_overlap_shows_the_joins():
    signal = np.ones(4000, dtype=np.float32)
    chunks = cut(signal, size=600, overlap=120, step=12)
    joined = stitch(np.stack([windowed_sums(chunk, 12, 96) for chunk in chunks.signal]), chunks)
    differs = np.flatnonzero(np.abs(joined - windowed_sums(signal, 12, 96)) > 1e-3)
    joins = (chunks.starts[1:] + chunks.starts[:-1] + 600) // 24
    assert differs.size > 0
    assert all(np.abs(joins - step).min() <= 4 for step in differs)


def test_outputs_keep_their_further_axes():
    chunks = cut(np.zeros(1000, dtype=np.float32), size=600, overlap=120, step=12)
    assert stitch(np.zeros((len(chunks.starts), 50, 3, 2)), chunks).shape == (84, 3, 2)


def test_a_grid_that_cannot_be_kept_is_refused():
    for size, overlap in ((605, 120), (600, 121), (600, 600)):
        with pytest.raises(ValueError, match="grid"):
            cut(np.zeros(1000, dtype=np.float32), size=size, overlap=overlap, step=12)
    chunks = cut(np.zeros(1000, dtype=np.float32), size=600, overlap=120, step=12)
    with pytest.raises(ValueError, match="outputs"):
        stitch(np.zeros((len(chunks.starts), 49)), chunks)
