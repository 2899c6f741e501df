"""What does a file hold? Arrays and words, there whole or not at all.

Every file is written beside its place, flushed to the disk and moved into it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from lropt_jax.sweeps.running.pieces import Arrays, Rows, Snapshot

_TABLES = ("metrics", "final", "totals")
_COLUMNS = ("step", "ended", "diverged_at")


def write(path: Path, content: bytes | Arrays) -> None:
    """Writes a file whole or not at all, and waits until it is on the disk.

    Raises:
      OSError: when it cannot be written, a full disk for example, naming it; what was there stays.
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
    except OSError as error:
        beside.unlink(missing_ok=True)
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    if os.name == "posix":  # the folder's entry must be on the disk too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read(path: Path) -> Arrays | None:
    """A file's arrays, or None where it is missing or damaged (each array has a checksum)."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception:  # a damaged archive fails in many ways
        return None


def of_snapshot(snapshot: Snapshot) -> Arrays:
    """The arrays of a snapshot but for the lanes that have ended."""
    arrays: Arrays = {name: getattr(snapshot, name) for name in _COLUMNS}
    arrays["kept"] = np.array(len(snapshot.kept))
    if snapshot.under_way is not None:
        arrays |= of_rows(snapshot.under_way)
    for kind in _TABLES:
        arrays |= {f"{kind}/{name}": v for name, v in getattr(snapshot, kind).items()}
    return arrays


def snapshot_of(held: Arrays, kept: list[Rows]) -> Snapshot:
    """The snapshot out of its arrays and those of the lanes that have ended."""
    given: dict[str, Any] = {name: held[name] for name in _COLUMNS}
    for kind in _TABLES:
        names = [name for name in held if name.startswith(f"{kind}/")]
        given[kind] = {name.partition("/")[2]: held[name] for name in names}
    return Snapshot(**given, under_way=rows_of(held) if "lanes" in held else None, kept=kept)


def of_rows(rows: Rows) -> Arrays:
    """The arrays of some lanes."""
    return {"lanes": rows.lanes, **of_leaves(rows.leaves)}


def rows_of(held: Arrays) -> Rows:
    """Some lanes out of their arrays."""
    return Rows(held["lanes"], leaves_of(held))


def of_leaves(leaves: list[np.ndarray]) -> Arrays:
    """Leaves by their place."""
    return {f"leaf/{i}": x for i, x in enumerate(leaves)}


def leaves_of(held: Arrays) -> list[np.ndarray]:
    """Leaves in their order."""
    count = sum(name.startswith("leaf/") for name in held)
    return [held[f"leaf/{i}"] for i in range(count)]
