"""How much of a plan has been trained? Looked up in a directory that is left as it is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from lropt_jax.sweeps.keeping.files import read
from lropt_jax.sweeps.keeping.manifest import read_manifest
from lropt_jax.sweeps.planning.plan import Plan

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
    manifest = read_manifest(path / "sweep.json")
    if manifest is None:
        return 0
    devices = manifest.identity.get("devices")
    manifest.check(path, plan, {**plan.identity, **where(devices)})
    if manifest.finished and manifest.grown(plan) is manifest:
        return plan.model_steps  # of a pruned one, all that there was to train
    pieces: dict[str, list[tuple[int, int, Path]]] = {}
    for file in (path / "pieces").glob("*.npz"):
        if found := _FILE.fullmatch(file.name):
            pieces.setdefault(found["piece"], []).append(
                (int(found["number"]), int(found["rung"]), file)
            )
    rungs = [] if plan.rule is None else plan.rule.rungs(plan.itinerary)
    stops = [*map(plan.itinerary.updates_at, (0, *rungs)), plan.itinerary.steps]
    made = 0
    for saves in pieces.values():
        for _, rung, file in sorted(saves, reverse=True):
            if (held := read(file)) is not None:
                step = np.where(held["ended"], stops[rung + 1], held["step"])
                made += int((step - stops[rung]).sum())
                break
    return made
