"""How run? Hundreds of configurations through one compiled program a group."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.hyperparameters import tunable
from lropt_jax.population import Layout, Population
from lropt_jax.progress import Progress, progress_bar
from lropt_jax.sweeps.plan import Group, chunks, groups, padded
from lropt_jax.sweeps.results import SweepResult
from lropt_jax.sweeps.space import Space, draw
from lropt_jax.task import Task, check_task
from lropt_jax.training import Itinerary, Run, as_key, itinerary

DEFAULT_WIDTH = 32


def sweep(
    task: Task | Callable[..., Task],
    optimizer: Callable[..., optax.GradientTransformation],
    space: Space,
    trials: int | None = None,
    seeds: int | Sequence[int] = 1,
    steps: int = 1000,
    eval_every: int | None = None,
    key: Any = 0,
    strategy: str = "vmap",
    width: int | None = None,
    devices: Sequence[Any] | None = None,
    progress: bool | Progress = True,
    final_splits: Sequence[str] = (),
) -> SweepResult:
    """Trains every configuration of a space on every seed, as one program."""
    plan = itinerary(steps, eval_every)
    seeds = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    root = as_key(key)
    configurations = draw(space, trials, np.asarray(jax.random.key_data(root)).ravel().tolist())
    devices = list(devices or jax.local_devices())
    lanes = len(configurations) * len(seeds)
    width = width or min(DEFAULT_WIDTH, lanes)
    width = -(-width // len(devices)) * len(devices)
    of_task = () if isinstance(task, Task) else tuple(inspect.signature(task).parameters)
    result = _Table(configurations, seeds, plan)
    with progress_bar(progress, total=lanes * plan.steps, description="sweep") as bar:
        for group in groups(configurations, static=(*of_task, "batch_size")):
            work = _Work(_task_of(task, of_task, group), optimizer, group, configurations, root)
            work.begin(strategy, devices)
            for chunk in chunks([(t, s) for t in group.trials for s in range(len(seeds))], width):
                work.run(chunk, width, plan, seeds, result, final_splits, bar)
    return result.finish()


def _task_of(task: Task | Callable[..., Task], names: tuple[str, ...], group: Group) -> Task:
    if not isinstance(task, Task):
        task = task(**{name: group.fixed[name] for name in names})
    elif "batch_size" in group.fixed:
        task = dataclasses.replace(task, batch_size=group.fixed["batch_size"])
    return task


class _Work:
    """One group's programs."""

    def __init__(
        self,
        task: Task,
        optimizer: Callable[..., optax.GradientTransformation],
        group: Group,
        configurations: Sequence[dict[str, Any]],
        root: jax.Array,
    ):
        self.task, self.group, self.configurations, self.root = task, group, configurations, root
        fixed = {
            k: v for k, v in group.fixed.items() if k in inspect.signature(optimizer).parameters
        }
        first = configurations[group.trials[0]]
        self._optimizer = functools.partial(tunable(optimizer), **fixed)
        self._numbers = {name: first[name] for name in group.numbers}

    def begin(self, strategy: str, devices: Sequence[Any]) -> None:
        check_task(self.task)
        layout = Layout(strategy, tuple(devices))
        self.population = Population(self.task, self._optimizer, self._numbers, layout)

    def run(
        self,
        chunk: Sequence[tuple[int, int]],
        width: int,
        plan: Itinerary,
        seeds: Sequence[int],
        result: _Table,
        final_splits: Sequence[str],
        bar: Progress,
    ) -> None:
        """Trains a chunk of `(trial, seed)` lanes from beginning to end."""
        filled = padded(chunk, width)
        lane_seeds = jnp.array([seeds[s] for _, s in filled])
        keys = jax.vmap(lambda s: jax.random.fold_in(self.root, s))(lane_seeds)
        numbers = {
            name: np.array([self.configurations[t][name] for t, _ in filled], np.float32)
            for name in self.group.numbers
        }
        run = Run.begin(self.population, keys, numbers)
        start = 0
        for i, stop in enumerate(plan.evaluations):
            metrics = run.train(plan, start, stop, lambda n: bar.advance(n * len(chunk)))
            if self.task.valid is not None:
                metrics |= run.evaluate(stop, "valid")
            if stop == plan.steps:
                for split in final_splits:
                    result.record_final(chunk, run.evaluate(stop, split))
            result.record(chunk, i, metrics)
            start = stop
        result.ended(chunk, run.diverged_at)


class _Table:
    """The values as they come in."""

    def __init__(self, trials: Sequence[dict[str, Any]], seeds: Sequence[int], plan: Itinerary):
        self._trials, self._seeds, self._steps = list(trials), list(seeds), plan.evaluations
        self._values: dict[str, np.ndarray] = {}
        self._final: dict[str, np.ndarray] = {}
        self._diverged_at = np.full((len(trials), len(seeds)), -1)

    def record(
        self, chunk: Sequence[tuple[int, int]], evaluation: int, metrics: dict[str, np.ndarray]
    ) -> None:
        shape = (*self._diverged_at.shape, len(self._steps))
        for name, values in metrics.items():
            table = self._values.setdefault(name, np.full(shape, np.nan))
            for (trial, seed), value in zip(chunk, values, strict=False):
                table[trial, seed, evaluation] = value

    def record_final(
        self, chunk: Sequence[tuple[int, int]], metrics: dict[str, np.ndarray]
    ) -> None:
        for name, values in metrics.items():
            table = self._final.setdefault(name, np.full(self._diverged_at.shape, np.nan))
            for (trial, seed), value in zip(chunk, values, strict=False):
                table[trial, seed] = value

    def ended(self, chunk: Sequence[tuple[int, int]], diverged_at: np.ndarray) -> None:
        for (trial, seed), at in zip(chunk, diverged_at, strict=False):
            self._diverged_at[trial, seed] = at

    def finish(self) -> SweepResult:
        status = np.where(self._diverged_at < 0, "finished", "diverged").astype(object)
        return SweepResult(
            self._trials,
            self._seeds,
            np.asarray(self._steps),
            self._values,
            self._final,
            status,
            self._diverged_at,
        )
