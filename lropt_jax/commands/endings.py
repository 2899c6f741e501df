"""How a command ends, as the shell that called it is told."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

DONE, FAILED, MISTAKE = 0, 1, 2
INTERRUPTED = 128 + signal.SIGINT  # so a shell reports a program that a signal has ended
CLOSED = 128 + 13  # a program whose reader has gone
MEANING = (
    "Exit codes: 0 done; 1 the work failed (everything diverged, no rate can be suggested, the "
    "code of a task raised, the disk or the memory is full); 2 a mistake in what was asked (an "
    "unknown name, a bad value, a missing file or extra); 130 interrupted by Ctrl-C, 143 by "
    "SIGTERM: the last line says how to go on."
)


class Signals:
    """Signals that ask a program to end interrupt it: what is kept stays usable.

    Attributes:
      code: how the program ends that was interrupted.
      ended: whether the program ends because of one.
    """

    def __init__(self) -> None:
        self.code = int(INTERRUPTED)
        self.ended = False

    def _end(self, number: int, frame: Any) -> None:
        self.code = 128 + number
        raise KeyboardInterrupt

    def close(self) -> None:
        """Ends an interrupted program with its code, as the last that it does: under `python -m`
        Python takes an interruption within `exec`, answered long ago, for its own end."""
        if self.ended:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(self.code)

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Hears them, where nobody else does (nohup has a program ignore one)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        names = [n for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
        before = {}
        for number in (getattr(signal, n) for n in names):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, self._end)
        try:
            with self._dropped_nowhere():
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def _dropped_nowhere(self) -> Iterator[None]:
        """Interrupts again where Python drops an interruption: what is raised in a callback of the
        garbage collector, of which JAX has one, or in `__del__`, goes nowhere."""
        before = sys.unraisablehook
        over = threading.Event()

        def dropped(what: Any) -> None:
            if issubclass(what.exc_type, KeyboardInterrupt):
                threading.Thread(target=again, daemon=True).start()
            else:
                before(what)

        def again() -> None:
            if not over.wait(0.05):
                _thread.interrupt_main(signal.Signals(self.code - 128))

        sys.unraisablehook = dropped
        try:
            yield
        finally:
            over.set()
            sys.unraisablehook = before


def interruption(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interruption that an error came of: C++ that is being loaded makes an error of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def notes_of(error: BaseException | None) -> list[str]:
    """How to go on: what was noted at an interruption, or at one before it whose work it ended."""
    found: list[str] = []
    while error is not None and not found:
        found = list(getattr(error, "__notes__", ()))
        error = error.__context__
    return found


def unheard() -> None:
    """From here on Ctrl-C ends the program at once: all is said, and Python's own end is left."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
