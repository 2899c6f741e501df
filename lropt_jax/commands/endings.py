"""How a command ends, as the shell that called it is told."""

from __future__ import annotations

import contextlib
import signal
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
    """Signals that ask a program to end interrupt it as Ctrl-C does: what is kept stays usable."""

    def __init__(self) -> None:
        self.code = int(INTERRUPTED)

    def _end(self, number: int, frame: Any) -> None:
        self.code = 128 + number
        raise KeyboardInterrupt

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Hears them, where nobody else does (nohup has a program ignore one)."""
        names = [n for n in ("SIGTERM", "SIGHUP") if hasattr(signal, n)]
        before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, n) for n in names):
                if signal.getsignal(number) is signal.SIG_DFL:
                    before[number] = signal.signal(number, self._end)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
