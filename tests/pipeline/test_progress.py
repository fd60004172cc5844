"""What a run says."""

from io import StringIO

import pytest

from mints.pipeline.progress import Reporter, duration, progress_text


class Clock:
    """Seconds that pass only when told."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def tracked(clock, seconds_per_item, count, **options):
    stream = StringIO()
    reporter = Reporter(stream=stream, terminal=False, clock=clock, **options)
    for _ in reporter.track(range(count), description="skimming", unit="stones"):
        clock.now += seconds_per_item
    return stream.getvalue().splitlines()


def test_a_log_gets_at_most_one_line_in_ten_seconds():
    lines = tracked(Clock(), 4.0, 10)
    assert lines == [
        "    skimming: 3/10 stones, 0.25/s, 28 s remaining",
        "    skimming: 6/10 stones, 0.25/s, 16 s remaining",
        "    skimming: 9/10 stones, 0.25/s, 4.0 s remaining",
    ]


def test_quick_work_is_silent_in_a_log():
    assert tracked(Clock(), 0.1, 50) == []


def test_quiet_leaves_only_warnings():
    stream = StringIO()
    reporter = Reporter(quiet=True, stream=stream)
    reporter.message("a step starts")
    reporter.warn("the tide is high")
    assert list(reporter.track([1, 2], description="x")) == [1, 2]
    assert stream.getvalue() == "warning: the tide is high\n"


def test_a_terminal_gets_bars_also_nested_and_they_end_with_an_abandoned_loop():
    stream = StringIO()
    reporter = Reporter(stream=stream, terminal=True)
    seen = []
    outer = reporter.track([1, 2], description="outer", unit="beaches")
    for item in outer:
        seen += [(item, inner) for inner in reporter.track("ab", description="inner")]
        reporter.message("a line between [bold]bars[/bold]")
        break
    outer.close()
    assert seen == [(1, "a"), (1, "b")]
    assert "[bold]bars[/bold]" in stream.getvalue()
    assert list(reporter.track([3], description="again")) == [3]


def test_without_a_total_there_is_no_remaining_time():
    assert progress_text(120, None, "stones", 10.0) == "120 stones, 12/s"
    assert progress_text(120, 400, "stones", 4.0) == "120/400 stones, 30/s, 9.3 s remaining"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations_read_naturally(seconds, text):
    assert duration(seconds) == text
