"""What is shown where: colours and live lines are for terminals that have them."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from lropt_jax.commands.formatting import show_table
from lropt_jax.progress import progress_bar

pty = pytest.importorskip("pty")

PROGRAM = """
import time
from rich.console import Console
from rich.table import Table
from lropt_jax import progress
progress.FIRST_PAUSE = 0.1
with progress.progress_bar(True, 100, "training") as bar:
    for _ in range(10):
        time.sleep(0.05)
        bar.advance(10)
table = Table()
table.add_column("x", style="red")
table.add_row("1")
Console().print(table)
"""
COLOUR, LIVE = "\x1b[31m", "\x1b[?25l"  # red; the cursor is hidden


def shown(terminal, **environment):
    """What the program writes to a terminal, or to a pipe."""
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    given = {**clean, "TERM": "xterm", **environment}
    line = [sys.executable, "-c", PROGRAM]
    if not terminal:
        done = subprocess.run(
            line, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
        )
        return done.stdout.decode()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(line, env=given, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    read = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        read += part
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return read.decode()


@pytest.mark.parametrize(
    ("terminal", "environment", "colour", "live"),
    [
        (True, {}, True, True),
        (True, {"NO_COLOR": "1"}, False, True),
        (True, {"TERM": "dumb"}, False, False),
        (False, {}, False, False),
        (False, {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colours_and_live_lines(terminal, environment, colour, live):
    text = shown(terminal, **environment)
    assert (COLOUR in text) == colour
    assert (LIVE in text) == live
    if not live:  # a line now and then
        assert 1 <= text.count("model-steps/s") <= 9
        assert "\r\x1b" not in text


@pytest.mark.parametrize("width", [24, 40, 79, 200])
def test_no_number_of_a_table_is_cut(width):
    rich = pytest.importorskip("rich.console")
    text = io.StringIO()
    rows = [["sgd", "=1", "0.0758 ± 0.01"], ["a [red]name[/red] :fire:", "2", "91 ± 16"]]
    headings = ["optimizer", "rank", "standard error of the test set"]
    where = rich.Console(file=text, width=width, markup=False, emoji=False)
    show_table(where, headings, rows, 0, "a title", "a caption")
    said = text.getvalue()
    assert max(map(len, said.splitlines())) <= width
    assert "…" not in said
    for word in ("0.0758 ± 0.01", "91 ± 16", "a title", "a caption"):
        assert word in " ".join(said.split())
    if width >= 40:
        assert "a [red]name[/red] :fire:" in said
    assert ("│" in said) == (width >= 79)


@pytest.mark.parametrize("width", range(90, 160, 3))
def test_no_column_of_a_wide_table_is_cut(width):
    """Headings of several words, cells shorter than they: any width that holds the longest words
    holds the table."""
    rich = pytest.importorskip("rich.console")
    text = io.StringIO()
    headings = [
        "optimizer", "configurations tried", "standard error of the test set (points)",
        "updates to valid accuracy 70.83", "µs a step", "state / parameters",
    ]  # fmt: skip
    rows = [["mine.py:plain", "9", "± 1.97", "–", "21.2", "1.0!"]]
    where = rich.Console(file=text, width=width, markup=False, emoji=False)
    show_table(where, headings, rows, 0)
    said = text.getvalue()
    assert {len(line) for line in said.splitlines()} <= set(range(width + 1))
    assert said.splitlines()[0].endswith("┓")
    assert "1.0! │" in said


@pytest.mark.parametrize("width", [66, 79, 80, 109, 110, 160])
def test_the_time_left_is_cut_at_no_width(monkeypatch, width):
    pytest.importorskip("rich")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for name, value in (("COLUMNS", str(width)), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stderr", Terminal())
    with progress_bar(True, 1000) as progress:
        progress.describe("sgd: as many configurations as the others")
        progress.note("12 lanes alive")
        progress.advance(1000)
    said = sys.stderr.getvalue()
    assert "100%" in said
    assert "0:00:00" in said
    assert "…" not in said
