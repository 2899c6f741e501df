"""How much has been trained? Looked up in directories that are left as they are."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from lropt_jax.sweeps.keeping.files import read
from lropt_jax.sweeps.keeping.manifest import read_manifest
from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.sweeps.results.saving import MANIFEST

_FILE = re.compile(r"(?P<piece>lot\d+-rung(?P<rung>\d+)-.+)\.(?P<number>\d+)\.npz")


def trained_before(
    directory: str | os.PathLike[str],
    plan: Plan,
    where: Callable[[str | None], Mapping[str, str]],
) -> int:
    """The model-steps of a plan that a directory has; those of a lane that diverged in full.

    Args:
      directory: a path; it need not exist.
      plan: what is to be trained.
      where: see `Directory`.

    Raises:
      ValueError: for a directory that holds another sweep; it says what differs.
    """
    path = Path(directory).expanduser()
    manifest = read_manifest(path / MANIFEST)
    if manifest is None:
        return 0
    devices = manifest.identity.get("devices")
    manifest.check(path, plan, {**plan.identity, **where(devices)})
    if manifest.finished and manifest.grown(plan) is manifest:
        return plan.model_steps  # of a pruned one, all that there was to train
    return _updates(path, plan.stops)


def trained_in(folder: str | os.PathLike[str], of: str = "") -> int:
    """The model-steps of all sweeps that lie in a folder, and in folders of it, whosever they are.

    Args:
      folder: a path; it need not exist.
      of: the name of those folders that count; all by default.
    """
    found = ((f.parent, read_manifest(f)) for f in Path(folder).rglob(os.path.join(of, MANIFEST)))
    return sum(_updates(path, m.stops) for path, m in found if m is not None and m.stops)


def _updates(path: Path, stops: Sequence[int]) -> int:
    """Those of all lanes, by the newest files that are whole."""
    pieces: dict[str, list[tuple[int, int, Path]]] = {}
    for file in (path / "pieces").glob("*.npz"):
        if found := _FILE.fullmatch(file.name):
            pieces.setdefault(found["piece"], []).append(
                (int(found["number"]), int(found["rung"]), file)
            )
    made = 0
    for saves in pieces.values():
        for _, rung, file in sorted(saves, reverse=True):
            if (held := read(file)) is not None:
                step = np.where(held["ended"], stops[rung + 1], held["step"])
                made += int((step - stops[rung]).sum())
                break
    return made
