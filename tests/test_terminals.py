"""What is shown where: colours and live lines are for terminals that have them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
