"""How far a collection is, told on a stream: a bar for a terminal, few lines for a log, names that cannot steer either."""

from __future__ import annotations

import io

from shared.bypass.collect.progress import Bar


class Terminal(io.StringIO):
    """A stream that somebody looks at."""

    def isatty(self) -> bool:
        return True


class Time:
    """Stands still until the test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_terminal_has_one_line_that_is_drawn_over_itself() -> None:
    """At the end nothing of it is left."""
    stream, time = Terminal(), Time()
    bar = Bar(stream, now=time)
    bar.at("groups", done=1, total=4)
    time.now += 0.01
    bar.at("groups", done=2, total=4)
    time.now += 0.2
    bar.at("groups", done=3, total=4)
    bar.close()
    assert stream.getvalue() == (
        "\r\x1b[K[######..................] groups: 1 of 4"
        "\r\x1b[K[##################......] groups: 3 of 4"
        "\r\x1b[K"
    )


def test_a_log_has_a_line_for_each_new_thing_and_now_and_then_one() -> None:
    """And no control characters."""
    stream, time = io.StringIO(), Time()
    bar = Bar(stream, now=time)
    bar.at("the target")
    for done in range(0, 3_000, 1_000):
        bar.at("members", done=done)
        time.now += 8
    bar.close()
    assert stream.getvalue() == "the target\nmembers\nmembers: 2,000\n"


def test_why_nothing_moves_stays_on_the_terminal() -> None:
    """The bar is drawn anew below it."""
    stream, time = Terminal(), Time()
    bar = Bar(stream, now=time)
    bar.at("groups", done=1, total=2)
    bar.note("429: trying again in 10 s")
    bar.at("groups", done=1, total=2)
    shown = stream.getvalue()
    assert "\r\x1b[K429: trying again in 10 s\n\r\x1b[K[####" in shown


def test_a_group_cannot_steer_the_terminal_by_its_name() -> None:
    """Anybody may name a group."""
    for stream in (Terminal(), io.StringIO()):
        bar = Bar(stream)
        bar.at("members of \x1b]0;owned\x07\u202e", done=1_000)
        bar.note("\x1b[2J")
        shown = stream.getvalue().replace("\r\x1b[K", "")
        assert not {"\x1b", "\x07", "\u202e"} & set(shown)


def test_a_long_name_stays_in_one_line() -> None:
    """A bar that wraps cannot be drawn over."""
    stream = Terminal()
    Bar(stream).at("m" * 500, done=1, total=2)
    assert len(stream.getvalue()) < 200
