"""Mean signal of bigWig tracks against the values that were written."""

import numpy as np
import pandas as pd
import pyBigWig
import pytest

from mints.data.signal import mean_signal
from mints.errors import MintsError


def intervals(*rows):
    return pd.DataFrame(rows, columns=["chromosome", "start", "end"])


@pytest.fixture
def track(tmp_path):
    path = tmp_path / "signal.bw"
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader([("chr1", 1000), ("chr2", 100)])
        file.addEntries("chr1", 100, values=[1.0, 2.0, 3.0, 4.0], span=10, step=10)
    return path


def test_the_mean_is_over_bases_that_have_data(track):
    asked = intervals(("chr1", 100, 140), ("chr1", 105, 115), ("chr1", 130, 200), ("chr1", 139, 5000))
    assert mean_signal(track, asked) == pytest.approx([2.5, 1.5, 4.0, 4.0])


def test_places_without_data_and_chromosomes_without_track_are_missing(track):
    asked = intervals(("chr1", 0, 100), ("chr2", 0, 50), ("chr9", 0, 50), ("chr1", 2000, 2100), ("chr1", 100, 110))
    assert np.isnan(mean_signal(track, asked)).tolist() == [True, True, True, True, False]


def test_a_track_of_another_assembly_is_refused(track):
    with pytest.raises(MintsError, match=r"signal.bw has no chromosome 1: it has chr1 and others"):
        mean_signal(track, intervals(("1", 0, 10), ("2", 0, 10)))


def test_no_intervals_have_no_means(track):
    assert mean_signal(track, intervals()).shape == (0,)


@pytest.mark.parametrize("content", [b"", b"chr1\t1\t2\n", b"\x00" * 200])
def test_what_is_no_bigwig_is_refused(tmp_path, content):
    path = tmp_path / "some.bw"
    path.write_bytes(content)
    with pytest.raises(MintsError, match=r"some.bw is not a bigWig file"):
        mean_signal(path, intervals(("chr1", 0, 10)))


def test_a_missing_track_is_said_to_be_missing(tmp_path):
    with pytest.raises(MintsError, match=r"none.bw does not exist"):
        mean_signal(tmp_path / "none.bw", intervals(("chr1", 0, 10)))


def test_real_tracks_read_as_published_and_a_bigbed_is_refused(shared):
    formats = shared / "real" / "formats"
    assert mean_signal(formats / "pybigwig_test.bw", intervals(("1", 0, 3), ("10", 200, 300))) == pytest.approx(
        [0.2, 2.0]
    )
    with pytest.raises(MintsError, match=r"pybigwig_test.bigBed is not a bigWig file"):
        mean_signal(formats / "pybigwig_test.bigBed", intervals(("chr1", 0, 10)))
