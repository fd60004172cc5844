"""A map over shards goes on where it stopped."""

import numpy as np
import pytest

from mints.pipeline import engine


class Counter:
    """Squares its shard and remembers which shards it was asked for."""

    def __init__(self, fail_at=None):
        self.asked = []
        self.fail_at = fail_at

    def __call__(self, shard):
        if shard == self.fail_at:
            raise RuntimeError("power cut")
        self.asked.append(shard)
        return {"square": np.array([shard * shard])}


def squares(counter, shards, **options):
    return [int(result["square"][0]) for result in engine.map(counter, shards, **options)]


def test_results_come_in_the_order_of_the_shards():
    assert squares(Counter(), [3, 1, 2]) == [9, 1, 4]


def test_shards_are_computed_only_when_asked_for():
    counter = Counter()
    results = engine.map(counter, [1, 2, 3])
    next(results)
    assert counter.asked == [1]


def test_a_stopped_map_goes_on_at_the_shard_where_it_stopped(tmp_path):
    with pytest.raises(RuntimeError, match="power cut"):
        squares(Counter(fail_at=3), [1, 2, 3, 4], checkpoint=tmp_path)
    second = Counter()
    assert squares(second, [1, 2, 3, 4], checkpoint=tmp_path) == [1, 4, 9, 16]
    assert second.asked == [3, 4]


@pytest.mark.parametrize("position", [5, 60, 150, -40])
def test_a_damaged_checkpoint_is_computed_again(tmp_path, position):
    squares(Counter(), [7, 8], checkpoint=tmp_path)
    content = bytearray((tmp_path / "1.npz").read_bytes())
    content[position] ^= 0xFF
    (tmp_path / "1.npz").write_bytes(content)
    again = Counter()
    assert squares(again, [7, 8], checkpoint=tmp_path) == [49, 64]
    assert again.asked in ([8], [])  # a byte that carries no content may differ


def test_a_truncated_checkpoint_is_computed_again(tmp_path):
    squares(Counter(), [7], checkpoint=tmp_path)
    (tmp_path / "0.npz").write_bytes((tmp_path / "0.npz").read_bytes()[:50])
    again = Counter()
    assert squares(again, [7], checkpoint=tmp_path) == [49]
    assert again.asked == [7]


def test_a_checkpoint_of_other_shards_is_not_used(tmp_path):
    squares(Counter(), [1, 2, 3], checkpoint=tmp_path)
    again = Counter()
    assert squares(again, [1, 5], checkpoint=tmp_path) == [1, 25]
    assert again.asked == [5]


def test_progress_sees_every_shard():
    seen = []

    def track(shards):
        for shard in shards:
            seen.append(shard)
            yield shard

    squares(Counter(), [1, 2], track=track)
    assert seen == [1, 2]
