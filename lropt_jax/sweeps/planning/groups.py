"""In what order? Trials into groups that share a program, lanes into chunks of one width."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from lropt_jax.sweeps.planning.values import identity
from lropt_jax.validation import is_scalar


@dataclasses.dataclass(frozen=True)
class Group:
    """Trials that share a program.

    Attributes:
      fixed: the values, by name, that the program is compiled for.
      numbers: the names of the values that differ between its lanes.
      trials: the trials' numbers in the sweep.
    """

    fixed: dict[str, Any]
    numbers: tuple[str, ...]
    trials: tuple[int, ...]


def groups(trials: Sequence[dict[str, Any]], static: Sequence[str] = ()) -> list[Group]:
    """Trials grouped by what cannot share a program, in order of first appearance.

    Args:
      trials: the configurations.
      static: names that are always compiled in (arguments of the task, batch size).
    """
    found: dict[Any, tuple[dict[str, Any], tuple[str, ...], list[int]]] = {}
    for number, trial in enumerate(trials):
        numbers = tuple(k for k, v in trial.items() if k not in static and is_scalar(v))
        fixed = {k: v for k, v in trial.items() if k not in numbers}
        program = (frozenset(numbers), frozenset((k, identity(v)) for k, v in fixed.items()))
        found.setdefault(program, (fixed, numbers, []))[2].append(number)
    return [Group(fixed, numbers, tuple(own)) for fixed, numbers, own in found.values()]


def chunks(lanes: Sequence[Any], width: int) -> list[list[Any]]:
    """Lanes packed into chunks of `width`; the last may be shorter, and is padded when run."""
    return [list(lanes[i : i + width]) for i in range(0, len(lanes), width)]


def chunks_by_seed(lanes: Sequence[tuple[int, int]], width: int) -> list[list[Any]]:
    """Chunks of `(trial, seed)` lanes that hold one seed each; each seed's last may be shorter."""
    seeds = dict.fromkeys(seed for _, seed in lanes)
    apart = [[lane for lane in lanes if lane[1] == seed] for seed in seeds]
    return [chunk for of_seed in apart for chunk in chunks(of_seed, width)]


def placed(taken: np.ndarray, count: int, devices: int) -> np.ndarray:
    """Where so many more lanes lie in a program, (count,): each device has its share.

    Args:
      taken: (width,), the places that other lanes have; the width is a multiple of `devices`.
      count: of lanes, at most the number of free places.
      devices: that they are spread over.
    """
    taken = np.array(taken).reshape(devices, -1)
    found = []
    for _ in range(count):
        device = int(taken.sum(axis=1).argmin())
        place = int(taken[device].argmin())
        taken[device, place] = True
        found.append(device * taken.shape[1] + place)
    return np.array(found, int)


def padded(chunk: Sequence[Any], width: int) -> list[Any]:
    """A chunk filled up to `width` by repeating its first lane."""
    return [*chunk, *[chunk[0]] * (width - len(chunk))]
