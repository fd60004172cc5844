"""Steps of the basecaller study that make and read signal, and how whole reads are called."""

from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from optional import pod5_library

from mints.basecaller_config import BasecallerConfig, BasecallerTraining
from mints.configuration_files import read_profile
from mints.data.nanopore.current import simulate_reads
from mints.data.nanopore.levels import read_levels
from mints.data.nanopore.normalisation import Normalisation
from mints.data.nanopore.pair_tables import pairs_of
from mints.data.nanopore.reading import read_signals
from mints.errors import MintsError, UsageError
from mints.models.basecaller.files import save_basecaller
from mints.models.basecaller.model import randomly_initialised
from mints.models.compute import resolve_compute
from mints.pipeline.artifacts import read
from mints.studies.basecaller.models import OpenBasecaller, call_read, call_signals
from mints.studies.basecaller.pretraining import bonito_config
from mints.studies.basecaller.study import open_pipeline

READS = "simulated_signal/reads.npz"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained basecaller that sees few samples around each."""
    recipe = BasecallerTraining(d_model=16, layers=1, heads=2, d_mlp=16, attention_window=(2, 2), state_length=2)
    folder = tmp_path_factory.mktemp("model")
    save_basecaller(folder, randomly_initialised(bonito_config(recipe), 0))
    return folder


def configuration(model, results, **fields):
    values = read_profile("embedded", None, str(model), "basecaller")
    given = {"results": results, "device": "cpu", "precision": "fp32", "simulation": {"reads": 6, "bases": 200}}
    given |= {"noise_strengths": [0.5, 2.0], "dampening_strengths": [1.0]}
    return BasecallerConfig(**(values | given | fields))


def run_steps(config, *names):
    for name in names:
        open_pipeline(config, quiet=True).run(only_step=name)


@pytest.fixture(scope="module")
def results(model, tmp_path_factory):
    """Results of the three steps on simulated reads."""
    folder = tmp_path_factory.mktemp("results")
    run_steps(configuration(model, folder), "simulate_signal", "ingest_signal", "signal_pairs")
    return folder


def test_simulated_reads_are_arrays_that_a_user_could_hand_in(results):
    reads = list(read_signals(results / READS))
    assert [read.read for read in reads] == [f"simulated{number:04d}" for number in range(1, 7)]
    levels = read_levels(results / "simulated_signal/levels.tsv")
    expected = simulate_reads(np.random.default_rng([1, 1]), 6, levels=levels, bases=200)
    boundaries = read(results / READS, ".npz")["boundaries"]
    for found, truth, borders in zip(reads, expected, boundaries, strict=True):
        assert (found.sequence, found.sample_rate) == (truth.sequence, 5000)
        assert found.current == pytest.approx(truth.current, abs=0.01)  # the table is written with four decimals
        assert np.array_equal(borders, truth.boundaries)


def test_the_table_of_reads_says_what_their_current_is_and_how_it_was_normalised(results):
    table = pd.read_csv(results / "tables/reads.csv")
    arrays = read(results / "signal/reads.npz", ".npz")
    assert table["split"].tolist() == ["validation", "test"] * 3
    assert arrays["splits"].tolist() == table["split"].tolist()
    assert (table["shift"] == 93.7).all()
    signals = np.split(arrays["signal"], np.cumsum(arrays["lengths"])[:-1])
    for row, signal, raw in zip(table.itertuples(), signals, read_signals(results / READS), strict=True):
        assert row.samples == row.kept_samples == len(raw.current)
        assert row.seconds == pytest.approx(len(raw.current) / 5000)
        assert row.mean_pa == pytest.approx(raw.current.mean(), rel=1e-5)
        assert row.deviation_pa == pytest.approx(raw.current.std(), rel=1e-5)
        assert signal == pytest.approx((raw.current - 93.7) / 23.5, abs=1e-5)
    assert arrays["sequences"].tolist() == [raw.sequence for raw in read_signals(results / READS)]


def test_simulated_pairs_are_one_a_stratum_and_carry_the_model_s_calls(results):
    table = pd.read_csv(results / "tables/signal_pairs.csv", keep_default_na=False)
    pairs = pairs_of(pd.read_csv(results / "tables/signal_pairs.csv"), read(results / "pairs/pairs.npz", ".npz"))
    assert len(pairs) == 192
    assert (table.groupby(["group", "base", "run_length", "corruption"]).size() == 1).all()
    assert all(pair.clean_call is not None and pair.clean.shape == (720,) for pair in pairs)
    counts = pd.read_csv(results / "tables/signal_pair_counts.csv").set_index("what")
    for (group, corruption), rows in table.groupby(["group", "corruption"]):
        assert counts.loc[f"{group}, {corruption}", "count"] == 24
        changed = (rows["clean_call"] != rows["corrupted_call"]).sum()
        assert counts.loc[f"{group}, {corruption}", "call_changed"] == changed
    assert counts.loc["refused_equal_levels", "count"] == 0
    assert (results / "figures/signal_pairs.png").stat().st_size > 10_000


def test_equal_seeds_give_equal_bytes(model, results, tmp_path):
    run_steps(configuration(model, tmp_path), "simulate_signal", "ingest_signal")
    for name in (READS, "signal/reads.npz", "tables/reads.csv"):
        assert (tmp_path / name).read_bytes() == (results / name).read_bytes()


def test_pod5_reads_are_trimmed_capped_and_said_to_be_of_another_sample_rate(model, tmp_path, pod5_file):
    caps = {"max_reads": 1, "max_read_samples": 1500}
    config = configuration(model, tmp_path, simulation=None, reads=pod5_file, **caps)
    run_steps(config, "ingest_signal")
    (row,) = pd.read_csv(tmp_path / "tables/reads.csv").to_dict("records")
    assert (row["read"], row["sample_rate"]) == (str(UUID(int=1)), 4000)
    assert (row["samples"], row["trimmed_samples"], row["kept_samples"]) == (3000, 210, 1500)
    manifest = read(tmp_path / "manifests/ingest_signal.json", ".json")
    assert "1 of 1 reads have 4000 samples per second and the model was trained on 5000" in manifest["warnings"][0]
    assert read(tmp_path / "signal/reads.npz", ".npz")["sequences"].tolist() == [""]


@pytest.fixture
def pod5_file(tmp_path):
    """Two reads at 4 kHz, the first with 200 samples of open pore."""
    pod5 = pod5_library()
    from datetime import UTC, datetime

    now = datetime(2026, 1, 1, tzinfo=UTC)
    run = pod5.RunInfo(
        acquisition_id="a", acquisition_start_time=now, adc_max=4095, adc_min=-4096, context_tags={},
        experiment_name="", flow_cell_id="", flow_cell_product_code="", protocol_name="", protocol_run_id="",
        protocol_start_time=now, sample_id="", sample_rate=4000, sequencing_kit="", sequencer_position="",
        sequencer_position_type="", software="", system_name="", system_type="", tracking_id={},
    )  # fmt: skip
    strand = np.random.default_rng(0).integers(60, 120, size=3000).astype(np.int16)
    strand[:200] = 250
    with pod5.Writer(tmp_path / "reads.pod5") as writer:
        for number in (1, 2):
            writer.add_read(
                pod5.Read(
                    read_id=UUID(int=number),
                    pore=pod5.Pore(1, 1, "pore"),
                    calibration=pod5.Calibration(0.0, 1.0),
                    read_number=number,
                    start_sample=0,
                    median_before=0.0,
                    end_reason=pod5.EndReason(reason=pod5.EndReasonEnum.SIGNAL_POSITIVE, forced=False),
                    run_info=run,
                    signal=strand,
                )  # fmt: skip
            )
    return tmp_path / "reads.pod5"


@pytest.mark.parametrize(
    ("fields", "step", "error", "message"),
    [
        ({"reads": None}, "ingest_signal", UsageError, "no reads: --reads names"),
        ({"read_ids": ["nobody"]}, "ingest_signal", MintsError, "has no read nobody"),
        ({"pairs": 25}, "signal_pairs", UsageError, "no multiple of 24"),
        ({"pair_samples": 601}, "signal_pairs", UsageError, "no multiple of 6, the model's stride"),
        ({"pair_samples": 300}, "signal_pairs", UsageError, "too short"),
        ({"levels": None}, "signal_pairs", UsageError, "--levels names the k-mer table"),
        ({"model": "nowhere"}, "ingest_signal", MintsError, "nowhere is no folder on this machine"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(model, results, tmp_path, fields, step, error, message):
    fields = {"reads": results / READS, "levels": results / "simulated_signal/levels.tsv"} | fields
    config = configuration(fields.pop("model", model), tmp_path, simulation=None, **fields)
    if step == "signal_pairs":
        run_steps(config, "ingest_signal")
    with pytest.raises(error, match=message):
        run_steps(config, step)


@pytest.fixture
def opened(model):
    from mints.models.basecaller.files import load_basecaller

    loaded = load_basecaller(model)
    compute = resolve_compute("cpu", "fp32")
    return OpenBasecaller(loaded.basecaller, Normalisation(**loaded.normalisation), 5000, compute, 300)


def test_a_read_called_in_chunks_is_called_as_a_whole(opened):
    signal = np.random.default_rng(0).normal(size=3001).astype(np.float32)
    (whole,) = call_signals(opened, signal[None, :3000])
    in_chunks = call_read(opened, signal[:3000], size=600, overlap=240)
    assert len(whole.sequence) > 50
    assert in_chunks.sequence == whole.sequence
    assert np.array_equal(in_chunks.times, whole.times)
    # A last sample that fills no step is a matter of the convolutions' margins, and changes the end alone.
    longer = call_read(opened, signal, size=600, overlap=240).sequence
    assert longer.startswith(whole.sequence[:-20])
    with pytest.raises(UsageError, match="multiples of 6"):
        call_read(opened, signal, size=601, overlap=240)


def test_calls_do_not_depend_on_the_batches(opened):
    signals = np.random.default_rng(1).normal(size=(7, 300)).astype(np.float32)
    one_by_one = [call_signals(opened, signals[row : row + 1])[0].sequence for row in range(7)]
    for positions in (50, 120, 10_000):
        called = call_signals(opened._replace(positions_per_batch=positions), signals)
        assert [each.sequence for each in called] == one_by_one
    assert len(set(one_by_one)) == 7


def test_reads_without_a_truth_give_pairs_of_the_model_s_own_call_and_no_others(model, results, tmp_path):
    arrays = read(results / READS, ".npz") | {"sample_rate": np.array(4000)}
    np.savez(tmp_path / "mine.npz", **{name: arrays[name] for name in ("signal", "lengths", "read_ids", "sample_rate")})
    levels = results / "simulated_signal/levels.tsv"
    config = configuration(model, tmp_path, simulation=None, reads=tmp_path / "mine.npz", levels=levels)
    run_steps(config, "ingest_signal", "signal_pairs")
    pairs = pairs_of(pd.read_csv(tmp_path / "tables/signal_pairs.csv"), read(tmp_path / "pairs/pairs.npz", ".npz"))
    reads = pd.read_csv(tmp_path / "tables/reads.csv").set_index("read")
    assert pairs
    for pair in pairs:
        assert (pair.source, pair.corrupted_sequence) == ("read", None)
        assert pair.split == reads.loc[pair.read, "split"]
        assert pair.corrupted_call != pair.clean_call
        run = pair.clean_sequence[pair.run_first : pair.run_first + pair.run_length]
        assert pair.group == "other" or run == pair.base * pair.run_length
        assert run in pair.clean_call
    kinds = pd.DataFrame(pairs).groupby(["base", "run_length", "corruption", "group"]).size().unstack()
    assert (kinds["homopolymer"] == kinds["other"]).all()
