"""How wide, and by which strategy? What fits the memory, and what this machine does fastest."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from lropt_jax.sweeps.planning.jobs import Job
from lropt_jax.sweeps.running.guessing import backward_bytes, bytes_of, guess
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
TRIALS_SHARE = 0.1  # of the time that training takes, for trying other strategies than the guess
TIMING = 0.1  # seconds of a timed run, about
ROUNDS = 3


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
    shapes = population.shapes(dict(_first(numbers, 1)), 1, job.key_type)
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
    seconds = first.seconds() * job.itinerary.steps * -(-lanes // width)
    others = [s for s in _others(local, one_seed) if s != guessed]
    affordable = int(TRIALS_SHARE * seconds / max(first.compiling, TIMING))
    if not affordable:
        return guessed  # a longer sweep may still try the others
    candidates = {s: Timed(job, numbers, width, Layout(s, devices)) for s in others[:affordable]}
    found = _try({guessed: first, **candidates})
    if affordable >= len(others):
        remember(about, found)
    return found


def _others(local: int, one_seed: bool) -> list[str]:
    """What may be faster than a guess, the most different first."""
    blocks = [f"map:{k}" for k in (4, 8) if k < local]
    return ["map", "shared" if one_seed else "vmap", *blocks, *(["vmap"] if one_seed else [])]


def _about(job: Job, lane: Lane, one_seed: bool, width: int, devices: Sequence[Any]) -> str:
    """What the fastest strategy depends on, as a name that another process gives it too."""
    batch = batch_of(job.task.train, job.task.batch_size)
    code = jax.make_jaxpr(
        lambda lane, batch: job.task.loss(lane.params, lane.model_state, batch, lane.key)
    )(lane, batch)
    shapes = [(str(x.dtype), x.shape) for x in jax.tree.leaves(lane)]
    machine = [platform.machine(), platform.processor(), os.cpu_count(), devices[0].device_kind]
    words = [
        code, shapes, one_seed, width, len(devices), rewrites(devices), machine, jax.__version__,
    ]  # fmt: skip
    # A function is printed with its address.
    return hashlib.sha256(re.sub(r"0x[0-9a-f]+", "", repr(words)).encode()).hexdigest()


def _try(candidates: dict[str, Timed]) -> str:
    """The fastest candidate."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):  # in turns, so that a busy moment hits them all
        for name, candidate in candidates.items():
            times[name].append(candidate.seconds())
    return min(times, key=lambda name: min(times[name]))


class Timed:
    """A strategy on trial."""

    def __init__(
        self, job: Job, numbers: Mapping[str, np.ndarray], width: int, layout: Layout
    ) -> None:
        self.job, self.compiling = job, 0.0
        self._population = job.population(layout, numbers)
        self._numbers, self._width = dict(_first(numbers, width)), width
        self._feed: Any = None
        self._updates = 1

    def seconds(self) -> float:
        """The time of one update of all lanes."""
        if self._feed is None:
            self._prepare()
        return self._run(self._updates) / self._updates

    def _prepare(self) -> None:
        itinerary, population = self.job.itinerary, self._population
        began = time.perf_counter()
        lanes = _ready(self._start())
        orders = population.orders(lanes)
        most = itinerary.fitting(itinerary.room(orders), 0, itinerary.steps)
        self._feed = itinerary.feed(orders, 0, most)
        self._run(1)
        self.compiling = time.perf_counter() - began
        once = max(self._run(1), 1e-6)
        self._updates = max(1, min(most, int(TIMING / once)))

    def _start(self) -> Lane:
        keys = jax.random.split(jax.random.key(0), self._width)
        return self._population.start(keys, self._numbers)

    def _run(self, updates: int) -> float:
        lanes: Any = _ready(self._start())
        began = time.perf_counter()
        _ready(self._population.run(lanes, self._feed, updates))
        return time.perf_counter() - began


def _ready(x: Any) -> Any:
    return jax.block_until_ready(x)  # type: ignore[no-untyped-call]


def _first(numbers: Mapping[str, np.ndarray], width: int) -> Mapping[str, np.ndarray]:
    return {k: np.resize(v, width).astype(np.result_type(float)) for k, v in numbers.items()}
