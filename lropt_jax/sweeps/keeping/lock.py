"""Who works on a directory? One process at a time; the lock dies with its process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

# A process may lock a file twice, so it must know for itself.
_HELD: set[Path] = set()


class Lock:
    """A lock on a file.

    Raises:
      ValueError: when another process, or another sweep of this one, holds it.
    """

    def __init__(self, path: Path):
        self._path = path.resolve()
        self._file: IO[bytes] | None = None
        refusal = (
            f"directory {path.parent} is being worked on by another sweep: wait for it to end, "
            "or choose another directory"
        )
        if self._path in _HELD:
            raise ValueError(refusal)
        self._file = open(self._path, "ab")  # noqa: SIM115
        try:
            _acquire(self._file)
        except OSError:
            self._file.close()
            raise ValueError(refusal) from None
        _HELD.add(self._path)

    def release(self) -> None:
        """Gives the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None
            _HELD.discard(self._path)


def _acquire(file: Any) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        # A record lock belongs to the process: a forked worker that outlives it holds none.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
