"""Where kept? A directory that a killed sweep goes on from.

    sweep.json                 what the sweep is, and how "auto" was resolved
    pieces/<name>.<n>.npz      a piece as it stood after its n-th save
    pieces/<name>.kept<k>.npz  lanes of it that have ended and are needed for the next rung
    lock                       held by the process that works on it
    results.parquet            the table, once it is complete (results.csv without pyarrow)

Every file is written beside its place, flushed to the disk and moved into it, so that it is
there whole or not at all. The file that a new one supersedes is deleted one save later: should
the newest be damaged after all, the one before still stands.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lropt_jax.sweeps.keeping.lock import Lock
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.sweeps.running.pieces import Arrays, Rows, Snapshot
from lropt_jax.sweeps.running.strategy import Resolved

FORMAT = "lropt_jax sweep 2"
_TABLES = ("metrics", "final", "totals")
_COLUMNS = ("step", "ended", "diverged_at")
_FILE = re.compile(r"(?P<name>.+)\.(?P<number>\d+)\.npz")


class Store(Protocol):
    """Where a sweep's progress is kept.

    Attributes:
      keeps: whether anything is.
      resolved: how each group runs, where that is settled already.
    """

    keeps: bool
    resolved: list[Resolved] | None

    def begin(self, resolved: list[Resolved]) -> None:
        """Settles how each group runs."""

    def load(self, name: str) -> Snapshot | None:
        """The newest whole snapshot of a piece, or None."""

    def save(self, name: str, snapshot: Snapshot) -> None:
        """Keeps a snapshot of a piece."""

    def finish(self, result: SweepResult) -> None:
        """Keeps what came out."""


class Nowhere:
    """Keeps nothing."""

    keeps = False
    resolved: list[Resolved] | None = None

    def begin(self, resolved: list[Resolved]) -> None:
        pass

    def load(self, name: str) -> None:
        return None

    def save(self, name: str, snapshot: Snapshot) -> None:
        pass

    def finish(self, result: SweepResult) -> None:
        pass


@contextlib.contextmanager
def opened(
    directory: str | os.PathLike[str] | None, identity: Callable[[], Mapping[str, str]]
) -> Iterator[Store]:
    """A `Directory`, locked until the end, or `Nowhere` for None. See `Directory`."""
    if directory is None:
        yield Nowhere()
        return
    store = Directory(directory, identity())
    try:
        yield store
    finally:
        store.close()


class Directory:
    """A sweep's directory.

    Args:
      directory: a path; made if it does not exist.
      identity: what the sweep's values depend on, in words, by a name that a user understands.

    Raises:
      ValueError: when the directory holds something else, another sweep (it says what
        differs), or is being worked on; it is left untouched then.
    """

    keeps = True

    def __init__(self, directory: str | os.PathLike[str], identity: Mapping[str, str]):
        self.path = Path(directory)
        self._pieces = self.path / "pieces"
        self._identity = dict(identity)
        self.resolved: list[Resolved] | None = None
        self._superseded: list[Path] = []
        self._written: dict[str, int] = {}  # how many of a piece's kept lanes lie there
        self._compare()
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(self.path / "lock")
        try:
            self._compare()  # it may have been begun since
            self._pieces.mkdir(exist_ok=True)
            self._numbers = self._existing()
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        """Lets others work on the directory."""
        self._lock.release()

    def begin(self, resolved: list[Resolved]) -> None:
        """Writes down what the sweep is; the first resolution of "auto" stays."""
        if self.resolved is None:
            self.resolved = resolved
            found = [{"strategy": r.strategy, "width": r.width} for r in resolved]
            words = {"format": FORMAT, "identity": self._identity, "resolved": found}
            write(self.path / "sweep.json", (json.dumps(words, indent=1) + "\n").encode())

    def load(self, name: str) -> Snapshot | None:
        """The newest whole snapshot of a piece, or None."""
        for number in sorted(self._numbers.get(name, ()), reverse=True):
            held = _read(self._file(name, number))
            kept = [_read(self._kept(name, k)) for k in range(0 if held is None else held["kept"])]
            if held is not None and not any(rows is None for rows in kept):
                self._written[name] = len(kept)
                return _snapshot(held, [_rows(rows) for rows in kept if rows is not None])
        return None

    def save(self, name: str, snapshot: Snapshot) -> None:
        """Writes a snapshot of a piece; it is on the disk when this returns."""
        before = self._numbers.setdefault(name, [])
        number = max(before, default=0) + 1
        for k in range(self._written.get(name, 0), len(snapshot.kept)):
            write(self._kept(name, k), _of_rows(snapshot.kept[k]))
            self._written[name] = k + 1
        write(self._file(name, number), _arrays(snapshot))
        while self._superseded:
            self._superseded.pop().unlink(missing_ok=True)
        self._superseded = [self._file(name, n) for n in before]
        self._numbers[name] = [number]

    def finish(self, result: SweepResult) -> None:
        """Writes the table, unless it is there already."""
        file_name, content = result.table_file()
        path = self.path / file_name
        if not path.exists() or path.read_bytes() != content:
            write(path, content)

    def _file(self, name: str, number: int) -> Path:
        return self._pieces / f"{name}.{number}.npz"

    def _kept(self, name: str, number: int) -> Path:
        return self._pieces / f"{name}.kept{number}.npz"

    def _existing(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for path in self._pieces.iterdir():
            match = _FILE.fullmatch(path.name)
            if match:
                found.setdefault(match["name"], []).append(int(match["number"]))
            elif path.name.endswith(".writing"):
                path.unlink()
        return found

    def _compare(self) -> None:
        """Reads what the directory holds, and refuses to go on with anything else."""
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise ValueError(f"directory must be a folder, {self.path} is a file")
        there = {p.name for p in self.path.iterdir() if not p.name.endswith(".writing")}
        words = _manifest(self.path / "sweep.json")
        if words is None:
            # A power cut may leave the very first file unreadable, before there is any piece.
            begun = {"lock", "pieces"} | ({"sweep.json"} if "lock" in there else set())
            empty = not (self._pieces.is_dir() and any(self._pieces.iterdir()))
            if there <= begun and empty:
                return
            raise ValueError(
                f"directory {self.path} is not empty and holds no sweep: "
                "choose a new or an empty one"
            )
        differing = [
            f"{name} ({_short(words['identity'].get(name))} there, {_short(now)} now)"
            for name, now in self._identity.items()
            if words["identity"].get(name) != now
        ]
        if differing:
            raise ValueError(
                f"directory {self.path} holds another sweep; what differs: "
                f"{'; '.join(differing)}. Call it as it was called to go on, or choose "
                "another directory"
            )
        self.resolved = [Resolved(r["strategy"], r["width"]) for r in words["resolved"]]


def write(path: Path, content: bytes | Arrays) -> None:
    """Writes a file whole or not at all, and waits until it is on the disk.

    Raises:
      OSError: when it cannot be written, a full disk for example; what was there stays.
    """
    beside = path.with_name(path.name + ".writing")
    try:
        with open(beside, "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                np.savez(file, **content)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the folder's entry must be on the disk too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _arrays(snapshot: Snapshot) -> Arrays:
    arrays: Arrays = {name: getattr(snapshot, name) for name in _COLUMNS}
    arrays["kept"] = np.array(len(snapshot.kept))
    if snapshot.under_way is not None:
        arrays |= _of_rows(snapshot.under_way)
    for kind in _TABLES:
        arrays |= {f"{kind}/{name}": v for name, v in getattr(snapshot, kind).items()}
    return arrays


def _snapshot(held: Arrays, kept: list[Rows]) -> Snapshot:
    given: dict[str, Any] = {name: held[name] for name in _COLUMNS}
    for kind in _TABLES:
        names = [name for name in held if name.startswith(f"{kind}/")]
        given[kind] = {name.partition("/")[2]: held[name] for name in names}
    return Snapshot(**given, under_way=_rows(held) if "lanes" in held else None, kept=kept)


def _of_rows(rows: Rows) -> Arrays:
    return {"lanes": rows.lanes, **{f"leaf/{i}": x for i, x in enumerate(rows.leaves)}}


def _rows(held: Arrays) -> Rows:
    count = sum(name.startswith("leaf/") for name in held)
    return Rows(held["lanes"], [held[f"leaf/{i}"] for i in range(count)])


def _read(path: Path) -> Arrays | None:
    """A file's arrays, or None where it is missing or damaged (each array has a checksum)."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception:  # a damaged archive fails in many ways
        return None


def _manifest(path: Path) -> dict[str, Any] | None:
    try:
        words = json.loads(path.read_bytes())
        known = isinstance(words, dict) and words.get("format") == FORMAT
        return words if known else None
    except (OSError, ValueError):
        return None


def _short(words: str | None) -> str:
    words = str(words)
    return words if len(words) <= 80 else words[:77] + "..."
