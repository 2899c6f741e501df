"""How wide, and by which strategy? What fits the memory, and what this machine does fastest."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from lropt_jax.schedules.fingerprint import Fingerprint
from lropt_jax.sweeps.planning.jobs import Job
from lropt_jax.sweeps.running.guessing import CACHED, Shapes, backward_bytes, bytes_of, guess
from lropt_jax.sweeps.running.timing import FEWEST, TIMING, Timed, some_numbers
from lropt_jax.tasks.examples import batch_of
from lropt_jax.tasks.task import Task
from lropt_jax.training.fast_forms import rewrites
from lropt_jax.training.lanes import Lane
from lropt_jax.training.layout import Layout
from lropt_jax.training.remembered import recall, remember
from lropt_jax.training.segment import EVALUATION_CHUNK

WIDEST = {"cpu": 32}  # lanes; more bring nothing on a CPU, whose cache they leave
WIDEST_ACCELERATOR = 256  # lanes on each device
MEMORY_SHARE = 0.5  # of a device's memory, for lanes
ESTIMATE_SHARE = 0.03  # of the updates, for how long training takes
TRIALS_SHARE = 0.1  # of the time that training takes, for trying other strategies than the guess
LEAST = (
    0.06  # seconds that trying a strategy takes besides compiling it, for times that say something
)
ROUNDS = 3
HOPELESS = 1.3  # times the fastest: is not timed again
SURELY = 0.95  # of the guess's time, which noise does not reach


@dataclasses.dataclass(frozen=True)
class Resolved:
    """How a group runs: "auto" and None replaced by what was found."""

    strategy: str
    width: int


def check_strategy(strategy: str) -> None:
    """Raises `ValueError` for anything but "auto", "vmap", "map", "map:k" and "shared"."""
    name, _, block = str(strategy).partition(":")
    whole = block.isdecimal() and int(block) >= 1
    if strategy not in ("auto", "vmap", "map", "shared") and not (name == "map" and whole):
        raise ValueError(
            'strategy must be "auto", "vmap", "map", "map:k" (blocks of k lanes) or "shared", '
            f"got {strategy!r}"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Load:
    """The lanes of a group, as far as placing them takes.

    Attributes:
      numbers: the hyperparameters of some of them, by name.
      lanes: how many there are.
      seeds: the number of seeds; lanes of one seed see the same batches.
    """

    numbers: Mapping[str, np.ndarray]
    lanes: int
    seeds: int


def resolve(
    load: Load, strategy: str, width: int | None, job: Job, devices: Sequence[Any]
) -> Resolved:
    """The strategy and width of a group.

    Args:
      load: its lanes.
      strategy: as in `sweep`.
      width: as in `sweep`.
      job: what the lanes share.
      devices: to run on.
    """
    count, lanes, numbers = len(devices), load.lanes, load.numbers
    if width is None:
        widest = max(1, min(_most_lanes(job, numbers, devices), lanes))
        width = -(-lanes // -(-lanes // widest))  # chunks of equal fullness
    width = -(-width // count) * count
    if strategy == "auto":
        strategy = _fastest(job, numbers, lanes, load.seeds == 1, width, tuple(devices))
    return Resolved(strategy, width)


def lane_bytes(task: Task, lane: Lane, fast: bool = False) -> int:
    """About the bytes that a lane needs while it trains or is evaluated.

    Its arrays twice (old and new), a gradient, and what the backward pass keeps of the batch; in
    evaluation, as much of each example of a chunk.

    Args:
      task: what it trains.
      lane: its shapes.
      fast: whether convolutions and poolings are rewritten.
    """

    size = task.batch_size
    backward = backward_bytes(task, lane, fast)
    examples = max([min(EVALUATION_CHUNK, n) for n in task.num_examples.values()])
    return (
        2 * bytes_of(lane)
        + bytes_of(lane.params)
        + max(backward + bytes_of(batch_of(task.train, size)), backward * examples // size)
    )


def _most_lanes(job: Job, numbers: Mapping[str, np.ndarray], devices: Sequence[Any]) -> int:
    """As many lanes as are useful and fit."""
    lane = lane_shapes(job, numbers, devices)
    needed = lane_bytes(job.task, lane, rewrites(devices))
    fits = len(devices) * int(_device_memory(devices) * MEMORY_SHARE // needed)
    useful = WIDEST.get(devices[0].platform, WIDEST_ACCELERATOR * len(devices))
    return max(len(devices), min(useful, fits))


def _device_memory(devices: Sequence[Any]) -> float:
    stats = devices[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    try:
        pages = os.sysconf("SC_AVPHYS_PAGES")
        return pages * os.sysconf("SC_PAGE_SIZE") / len(devices)
    except (AttributeError, ValueError, OSError):  # not every system tells
        return 4e9 / len(devices)


def lane_shapes(job: Job, numbers: Mapping[str, np.ndarray], devices: Sequence[Any]) -> Lane:
    """The shapes of a lane."""
    population = job.population(Layout("vmap", tuple(devices[:1])), numbers)
    shapes = population.shapes(dict(some_numbers(numbers, 1)), 1, job.key_type)
    lane: Lane = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape[1:], s.dtype), shapes)  # type: ignore[no-untyped-call]
    return lane


def _fastest(
    job: Job,
    numbers: Mapping[str, np.ndarray],
    lanes: int,
    one_seed: bool,
    width: int,
    devices: tuple[Any, ...],
) -> str:
    """What was found before; else the guess, and others where training takes far longer."""
    local = width // len(devices)
    if local == 1:
        return "vmap"  # one lane alone on a device runs as it is
    lane = lane_shapes(job, numbers, devices)
    guessed = guess(job.task, lane, local, one_seed, devices)
    about = _about(job, lane, one_seed, width, devices)
    found = recall(about)
    if found is not None:
        return found
    first = Timed(job, numbers, width, Layout(guessed, devices))
    updates = job.itinerary.steps * -(-lanes // width)
    update = first.seconds(most=max(1, int(ESTIMATE_SHARE * updates)))
    others = [s for s in _others(local, one_seed) if s != guessed]
    budget = TRIALS_SHARE * update * updates
    timing = max(LEAST, ROUNDS * update * (1 if update >= TIMING else 2 * FEWEST))
    tried = others[: int(budget / (first.compiling + timing))]
    if not tried:
        return guessed  # a longer sweep may still try the others
    spend = (budget - len(tried) * first.compiling) / (ROUNDS * (len(tried) + 1))
    candidates = {s: Timed(job, numbers, width, Layout(s, devices), first) for s in tried}
    found = _try({guessed: first, **candidates}, guessed, min(spend, TIMING))
    if tried == others:
        remember(about, found)
    return found


def _others(local: int, one_seed: bool) -> list[str]:
    """What may be faster than a guess, the most different first."""
    blocks = [f"map:{k}" for k in (4, 8) if k < local]
    return ["map", "shared" if one_seed else "vmap", *blocks, *(["vmap"] if one_seed else [])]


def _about(job: Job, lane: Lane, one_seed: bool, width: int, devices: Sequence[Any]) -> str:
    """What the fastest strategy depends on, as a name that another process gives it too."""
    batch = batch_of(job.task.train, job.task.batch_size)
    code = _code(Fingerprint(job.task.loss), Shapes.of((lane, batch)))
    shapes = [(str(x.dtype), x.shape) for x in jax.tree.leaves(lane)]
    machine = [platform.machine(), platform.processor(), os.cpu_count(), devices[0].device_kind]
    words = [
        code, shapes, one_seed, width, len(devices), rewrites(devices), machine, jax.__version__,
    ]  # fmt: skip
    return hashlib.sha256(repr(words).encode()).hexdigest()


@functools.lru_cache(CACHED)
def _code(loss: Fingerprint[Any], shapes: Shapes) -> str:
    """What the loss computes, in words."""
    lane, batch = shapes.tree()
    code = jax.make_jaxpr(
        lambda lane, batch: loss.function(lane.params, lane.model_state, batch, lane.key)
    )(lane, batch)
    return re.sub(r"0x[0-9a-f]+", "", str(code))  # a function is printed with its address


def _try(candidates: dict[str, Timed], guessed: str, spend: float) -> str:
    """The fastest candidate; the guess, unless one is surely faster.

    Args:
      candidates: what is tried, by name.
      guessed: the one that needs no proof.
      spend: seconds that a timed run may take, about.
    """
    least = dict.fromkeys(candidates, math.inf)
    for _ in range(ROUNDS):  # in turns, so that a busy moment hits them all
        for name, candidate in candidates.items():
            least[name] = min(least[name], candidate.seconds(spend))
        hopeful = HOPELESS * min(least.values())
        candidates = {k: v for k, v in candidates.items() if least[k] <= hopeful}
        if len(candidates) == 1:
            break
    best = min(least, key=least.__getitem__)
    return best if least[best] < SURELY * least[guessed] else guessed
