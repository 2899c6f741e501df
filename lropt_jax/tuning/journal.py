"""Where is it kept? What was decided, move by move; the sweeps beside it keep what was trained.

tune.json          what the tuning is, its moves, the seconds it took
range-<name>.npz   the curves of a range test
000-adamw/         the sweep of the first move's first optimizer, and so on
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lropt_jax.sweeps.keeping.files import read, write
from lropt_jax.sweeps.keeping.lock import Lock
from lropt_jax.sweeps.keeping.progress import trained_in

NAME = "tune.json"
Move = dict[str, Any]


class Journal:
    """The moves of a tuning, in memory, and in a directory where there is one.

    Args:
      directory: or None.
      identity: what the tuning is, in words by its arguments.
      looks: whether the directory is only looked at, and left as it is.

    Attributes:
      moves: those that were decided; a call that goes on makes them again.
      facts: what was measured or found once: the number of updates, how lanes lie.
      seconds: that earlier calls took.

    Raises:
      ValueError: for a directory that holds another tuning: it says what differs.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None,
        identity: Mapping[str, str],
        looks: bool = False,
    ):
        self.moves: list[Move] = []
        self.facts: dict[str, Any] = {}
        self.seconds = 0.0
        self._identity, self._folder, self._lock = dict(identity), None, None
        self._made: list[Path] = []
        if directory is None:
            return
        self._folder = Path(directory).expanduser()
        self._made = [f for f in (self._folder, *self._folder.parents) if not f.exists()]
        held = self._held(self._folder / NAME)
        if held is None:
            found = {p.name for p in self._folder.iterdir()} if self._folder.exists() else set()
            if found - {"lock", f"{NAME}.writing"}:  # what a call leaves that dies at once
                raise ValueError(f"directory {self._folder} holds something else than a tuning")
        else:
            differ = [k for k, v in self._identity.items() if held["identity"].get(k) != v]
            if differ:
                words = ", ".join(
                    f"{k} ({held['identity'].get(k)}, now {self._identity[k]})" for k in differ
                )
                raise ValueError(
                    f"directory {self._folder} holds a tuning with another {words}: call it as "
                    "then, or choose another directory"
                )
            self.moves, self.facts = held["moves"], held["facts"]
            self.seconds = held["seconds"]
        if not (self.finished or looks):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self._folder / "lock")

    @property
    def finished(self) -> bool:
        """Whether it came to its end: it is read back, and needs no lock."""
        return bool(self.facts.get("finished"))

    @property
    def model_steps(self) -> int:
        """Those that were taken, range tests among them."""
        if self._folder is None:
            return 0
        curves = (read(file) for file in self._folder.glob("range-*.npz"))
        return trained_in(self._folder) + sum(c["losses"].size for c in curves if c is not None)

    def close(self) -> None:
        """Lets others work on the directory; takes it away where there is nothing to go on from."""
        if self._lock is not None:
            self._lock.release()
        if self._folder is None or self.moves or any(self._folder.glob("range-*.npz")):
            return
        for file in self._folder.glob(f"{NAME}*"):
            file.unlink()
        (self._folder / "lock").unlink(missing_ok=True)
        for made in self._made:  # the innermost first
            if made.is_dir() and not any(made.iterdir()):
                made.rmdir()

    def folder(self, number: int, name: str) -> Path | None:
        """Where an optimizer's part of a move is kept."""
        if self._folder is None:
            return None
        return self._folder / f"{number:03d}-{re.sub(r'[^A-Za-z0-9]+', '-', name)}"

    def write(self, seconds: float) -> None:
        """Saves what there is."""
        if self._folder is None or (self._lock is None):
            return
        held = {
            "identity": self._identity, "moves": self.moves, "facts": self.facts,
            "seconds": seconds,
        }  # fmt: skip
        write(self._folder / NAME, json.dumps(held, indent=1).encode())

    def curve(self, name: str) -> dict[str, np.ndarray] | None:
        """A range test that was kept, or None."""
        return None if self._folder is None else read(self._curve(name))

    def keep_curve(self, name: str, arrays: Mapping[str, Any]) -> None:
        """Keeps a range test."""
        if self._folder is not None:
            write(self._curve(name), dict(arrays))

    def _curve(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"range-{re.sub(r'[^A-Za-z0-9]+', '-', name)}.npz"

    @staticmethod
    def _held(path: Path) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"{path} is damaged: choose another directory") from error
        return found
