"""What a person sees: a live line while something runs, a few lines or a table of what there is."""

from __future__ import annotations

import collections
import contextlib
import html
import sys
import time
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

WINDOW = 3.0  # seconds over which the speed is measured
WIDE, NOTED = 110, 80  # letters of a terminal that has room for the speed, and for how it goes
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0  # seconds between two lines where there is no terminal


Shown = TypeVar("Shown", bound=type)


def shown(cls: Shown) -> Shown:
    """Makes instances print as a few lines, in a notebook as a table.

    What these say is the class's `_about() -> (title, rows)`, rows of words by name.
    """

    def text(self: Any) -> str:
        title, rows = self._about()
        return "\n".join([title, *(f"  {name}: {words}" for name, words in rows.items())])

    def table(self: Any) -> str:
        title, rows = self._about()
        cells = "".join(
            f'<tr><th style="text-align:left">{html.escape(name)}</th>'
            f'<td style="text-align:left">{html.escape(str(words))}</td></tr>'
            for name, words in rows.items()
        )
        return f"<p>{html.escape(title)}</p>" + (f"<table>{cells}</table>" if rows else "")

    cls.__repr__ = text  # type: ignore[method-assign, assignment]
    cls._repr_html_ = table  # type: ignore[attr-defined]
    return cls


def several(count: int, noun: str) -> str:
    """A count and its noun: 1 seed, 3 seeds."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


class Progress(Protocol):
    """What a long run reports to."""

    def advance(self, model_steps: int) -> None:
        """So many model-steps are done."""

    def skip(self, model_steps: int) -> None:
        """So many model-steps need not be done; a negative number: so many more."""

    def describe(self, what: str) -> None:
        """Says what runs now."""

    def note(self, what: str) -> None:
        """Says how it goes."""


class Silent:
    """Shows nothing."""

    def advance(self, model_steps: int) -> None:
        pass

    def skip(self, model_steps: int) -> None:
        pass

    def describe(self, what: str) -> None:
        pass

    def note(self, what: str) -> None:
        pass


@contextlib.contextmanager
def progress_bar(
    show: bool | Progress, total: int, description: str = "training"
) -> Iterator[Progress]:
    """A live line with what runs, the share done, model-steps a second and the time left.

    Args:
      show: whether to show it; a `Progress` is used as it is.
      total: model-steps in all.
      description: what runs.
    """
    if not isinstance(show, bool):
        yield show  # whoever made it knows best what runs
        return
    if not show:
        yield Silent()
        return
    try:
        import rich.progress as rich
        from rich.console import Console
    except ImportError:
        yield _Plain(total, description)
        return
    console = Console(stderr=True)
    # In a file, a pipe, a terminal that cannot redraw: a line now and then. Colours that are forced
    # (FORCE_COLOR) do not make a terminal.
    redraws = console.file.isatty() and not console.is_dumb_terminal
    if not (redraws or console.is_jupyter):
        yield _Plain(total, description)
        return
    columns = [
        rich.SpinnerColumn(),
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(),  # takes what room there is
        rich.TaskProgressColumn(),
        rich.TimeRemainingColumn(),
    ]
    # Where these have no room, the time left would be cut for them.
    if console.width >= NOTED:
        columns.insert(-1, rich.TextColumn("{task.fields[note]}", markup=False))
    if console.width >= WIDE:
        columns.insert(-2, rich.TextColumn("{task.fields[speed]}"))
    with rich.Progress(*columns, console=console, transient=True) as display:
        yield _Rich(display, display.add_task(description, total=total, speed="", note=""), total)


class _Speed:
    """Model-steps a second over the last few seconds: a compilation is soon forgotten."""

    def __init__(self) -> None:
        self._done = 0
        self._marks = collections.deque([(time.monotonic(), 0)])

    def after(self, model_steps: int) -> float:
        now = time.monotonic()
        self._done += model_steps
        self._marks.append((now, self._done))
        while len(self._marks) > 2 and self._marks[1][0] < now - WINDOW:
            self._marks.popleft()
        began, done = self._marks[0]
        return (self._done - done) / max(now - began, 1e-9)


class _Rich:
    def __init__(self, display: Any, task: Any, total: int):
        self._display, self._task, self._total = display, task, total
        self._speed = _Speed()

    def advance(self, model_steps: int) -> None:
        speed = self._speed.after(model_steps)
        self._display.update(self._task, advance=model_steps, speed=f"{speed:,.0f} model-steps/s")

    def skip(self, model_steps: int) -> None:
        self._total -= model_steps
        self._display.update(self._task, total=self._total)

    def describe(self, what: str) -> None:
        self._display.update(self._task, description=what)

    def note(self, what: str) -> None:
        self._display.update(self._task, note=what)


class _Plain:
    """Without a terminal, or rich: a line to standard error now and then, ever more rarely."""

    def __init__(self, total: int, description: str):
        self._total, self._what = total, description
        self._said, self._speed, self._pause = time.monotonic(), _Speed(), FIRST_PAUSE
        self._done, self._note = 0, ""

    def advance(self, model_steps: int) -> None:
        self._done += model_steps
        speed = self._speed.after(model_steps)
        if time.monotonic() - self._said > self._pause:
            self._said, self._pause = time.monotonic(), min(2 * self._pause, LONGEST_PAUSE)
            print(
                f"{self._what}: {self._done / max(self._total, 1):.0%}, {speed:,.0f} model-steps/s"
                f"{self._note}",
                file=sys.stderr,
                flush=True,
            )

    def describe(self, what: str) -> None:
        self._what = what

    def skip(self, model_steps: int) -> None:
        self._total -= model_steps

    def note(self, what: str) -> None:
        self._note = f", {what}"
