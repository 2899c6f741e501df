"""Where kept? A directory that a killed sweep goes on from, and that a finished one grows in.

    sweep.json                 what the sweep is, and how "auto" was resolved
    pieces/<name>.<n>.npz      a piece as it stood after its n-th save
    pieces/<name>.kept<k>.npz  lanes of it that have ended and are needed for the next rung
    models/<lane>.npz          a lane of one of the best configurations, trained
    lock                       held by the process that works on it
    result.npz                 what came out, once it is complete (`load_sweep`)
    results.parquet            the table (results.csv without pyarrow)

The file that a new one supersedes is deleted one save later: should the newest be damaged after
all, the one before still stands. A finished directory is read without the lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from lropt_jax.sweeps.keeping.files import (
    leaves_of,
    of_leaves,
    of_rows,
    of_snapshot,
    read,
    rows_of,
    snapshot_of,
    write,
)
from lropt_jax.sweeps.keeping.lock import Lock
from lropt_jax.sweeps.keeping.manifest import Lot, Manifest, read_manifest
from lropt_jax.sweeps.keeping.memory import Memory, Store
from lropt_jax.sweeps.keeping.models import Lane, Leaves
from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.sweeps.results.saving import MANIFEST
from lropt_jax.sweeps.running.pieces import Snapshot
from lropt_jax.sweeps.running.strategy import Resolved

_FILE = re.compile(r"(?P<name>.+)\.(?P<number>\d+)\.npz")


@contextlib.contextmanager
def opened(
    directory: str | os.PathLike[str] | None,
    plan: Plan,
    where: Callable[[str | None], Mapping[str, str]],
) -> Iterator[Store]:
    """A `Directory`, or `Memory` for None."""
    if directory is None:
        yield Memory(plan)
        return
    store = Directory(directory, plan, where)
    try:
        yield store
    finally:
        store.close()


class Directory:
    """A sweep's directory. It is locked until it is closed, unless it is finished.

    Args:
      directory: a path; made if it does not exist.
      plan: what is trained.
      where: given the devices that the sweep was begun on, or None, the identity of the placement
        in words.

    Raises:
      ValueError: when the directory holds something else, another sweep (it says what
        differs), or is being worked on; it is left untouched then.
    """

    lasts = True

    def __init__(
        self,
        directory: str | os.PathLike[str],
        plan: Plan,
        where: Callable[[str | None], Mapping[str, str]],
    ):
        self.path = Path(directory).expanduser()
        self._pieces, self._models = self.path / "pieces", self.path / "models"
        self._plan, self._where = plan, where
        self._superseded: list[Path] = []
        self._written: dict[str, int] = {}  # how many of a piece's kept lanes lie there
        self._numbers: dict[str, list[int]] = {}
        self._lock: Lock | None = None
        self._made: list[Path] = []  # folders that were not there
        self._look()
        self._begun_here = self._told is None
        if not self._manifest.finished:
            self._hold()

    def close(self) -> None:
        """Lets others work on the directory. One that was made for nothing is taken away."""
        if self._lock is None:
            return
        if self._begun_here and not self.saved:
            with contextlib.suppress(OSError):
                (self.path / MANIFEST).unlink(missing_ok=True)
                self._pieces.rmdir()
                (self.path / "lock").unlink()
                for folder in self._made:  # the innermost first
                    folder.rmdir()
        self._lock.release()

    @property
    def lots(self) -> list[list[Lane]]:
        return self._manifest.lanes(self._plan)

    @property
    def resolved(self) -> Mapping[str, Resolved]:
        return self._manifest.resolved

    @property
    def devices(self) -> str | None:
        return self._manifest.identity["devices"]

    @property
    def saved(self) -> bool:
        return bool(self._numbers)

    def begin(self, resolved: Mapping[str, Resolved]) -> None:
        """Writes down what the sweep is; the first resolution of "auto" stays."""
        if not self._manifest.finished:
            self._state(resolved, False)

    def load(self, name: str) -> Snapshot | None:
        found = self._newest(name)
        if (found is None or not found.done) and self._lock is None:
            self._hold()  # it was finished, but is damaged
            found = self._newest(name)
        return found

    def save(self, name: str, snapshot: Snapshot) -> None:
        """Writes a snapshot of a piece; it is on the disk when this returns."""
        before = self._numbers.setdefault(name, [])
        number = max(before, default=0) + 1
        for k in range(self._written.get(name, 0), len(snapshot.kept)):
            write(self._kept(name, k), of_rows(snapshot.kept[k]))
            self._written[name] = k + 1
        write(self._file(name, number), of_snapshot(snapshot))
        while self._superseded:
            self._superseded.pop().unlink(missing_ok=True)
        self._superseded = [self._file(name, n) for n in before]
        self._numbers[name] = [number]

    def put(self, lane: Lane, leaves: Leaves) -> None:
        self._hold()
        self._models.mkdir(exist_ok=True)
        write(self._model(lane), of_leaves(leaves))

    def drop(self, lane: Lane) -> None:
        if self._lock is not None:
            self._model(lane).unlink(missing_ok=True)

    def model(self, lane: Lane) -> Leaves | None:
        held = read(self._model(lane))
        return None if held is None else leaves_of(held)

    def finish(self, result: SweepResult) -> None:
        """Writes what came out, unless it is there already, undamaged."""
        files = {self.path / name: content for name, content in result.files()}
        if self._lock is None and all(_holds(path, content) for path, content in files.items()):
            return
        with contextlib.ExitStack() as lenient:
            if self._lock is None:  # nothing was trained: a place that cannot be written to is fine
                lenient.enter_context(contextlib.suppress(OSError))
                self._hold()
            for path, content in files.items():
                if not _holds(path, content):
                    write(path, content)
            self._state(self.resolved, True)

    def _hold(self) -> None:
        """Lets nobody else work on the directory from here on."""
        if self._lock is not None:
            return
        self._made = [p for p in (self.path, *self.path.parents) if not p.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(self.path / "lock")
        try:
            self._look()  # it may have been begun since
            self._pieces.mkdir(exist_ok=True)
            for path in self.path.rglob("*.writing"):
                path.unlink()
        except BaseException:
            self._lock.release()
            raise

    def _look(self) -> None:
        """Reads what the directory holds, and refuses to go on with anything else."""
        found = None
        if self.path.exists():
            if not self.path.is_dir():
                raise ValueError(f"directory must be a folder, {self.path} is a file")
            found = read_manifest(self.path / MANIFEST)
            if found is None:
                self._check_empty()
        devices = None if found is None else found.identity.get("devices")
        identity = {**self._plan.identity, **self._where(devices)}
        if found is None:
            lot = Lot(self._plan.trial_names, self._plan.seeds)
            self._manifest, self._told = Manifest(identity, {}, (lot,), self._plan.stops), None
        else:
            found.check(self.path, self._plan, identity)
            self._manifest, self._told = found.grown(self._plan), found
        self._numbers = {}
        for path in self._pieces.glob("*.npz"):
            if match := _FILE.fullmatch(path.name):
                self._numbers.setdefault(match["name"], []).append(int(match["number"]))

    def _check_empty(self) -> None:
        """A power cut may leave the very first file unreadable, before there is any piece."""
        there = {p.name for p in self.path.iterdir() if not p.name.endswith(".writing")}
        begun = {"lock", "pieces"} | ({MANIFEST} if "lock" in there else set())
        empty = not (self._pieces.is_dir() and any(self._pieces.iterdir()))
        if not (there <= begun and empty):
            raise ValueError(
                f"directory {self.path} is not empty and holds no sweep: "
                "choose a new or an empty one"
            )

    def _state(self, resolved: Mapping[str, Resolved], finished: bool) -> None:
        """Writes down what the sweep is and how it runs, unless it is there already."""
        now = self._manifest
        known = {**resolved, **now.resolved}
        self._manifest = dataclasses.replace(now, resolved=known, finished=finished)
        if self._manifest != self._told:
            write(self.path / MANIFEST, self._manifest.encoded())
            self._told = self._manifest

    def _newest(self, name: str) -> Snapshot | None:
        for number in sorted(self._numbers.get(name, ()), reverse=True):
            held = read(self._file(name, number))
            kept = [read(self._kept(name, k)) for k in range(0 if held is None else held["kept"])]
            if held is not None and not any(rows is None for rows in kept):
                self._written[name] = len(kept)
                return snapshot_of(held, [rows_of(rows) for rows in kept if rows is not None])
        return None

    def _file(self, name: str, number: int) -> Path:
        return self._pieces / f"{name}.{number}.npz"

    def _kept(self, name: str, number: int) -> Path:
        return self._pieces / f"{name}.kept{number}.npz"

    def _model(self, lane: Lane) -> Path:
        trial, seed = lane
        return self._models / f"{self._plan.trial_names[trial]}-seed{self._plan.seeds[seed]}.npz"


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file is there whole."""
    try:
        return path.read_bytes() == content
    except OSError:
        return False
