"""Where is a trained model? Kept, or trained again in its lane, to the last bit as it was."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from lropt_jax.optimizers.code_lines import code_of
from lropt_jax.progress import several
from lropt_jax.sweeps.keeping.memory import Store
from lropt_jax.sweeps.keeping.models import Keep, Lane, Leaves
from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.sweeps.results.saving import Event
from lropt_jax.sweeps.running.costs import Ran, state_ratio, step_seconds
from lropt_jax.sweeps.running.pieces import Piece
from lropt_jax.sweeps.running.processes import exchanged
from lropt_jax.sweeps.running.queue import run_piece
from lropt_jax.sweeps.running.strategy import Resolved
from lropt_jax.training.layout import Layout
from lropt_jax.training.population import Population
from lropt_jax.training.trained import Fit
from lropt_jax.training.watching.names import NOTHING


class TrainedModels:
    """The models of a sweep.

    Args:
      plan: what was trained.
      resolved: how each group ran.
      devices: those that it ran on, or as many.
      store: where models are kept.
    """

    def __init__(
        self, plan: Plan, resolved: Sequence[Resolved], devices: Sequence[Any], store: Store
    ):
        self._plan, self._resolved, self._devices = plan, list(resolved), tuple(devices)
        self._store = store
        self._group_of = {t: g for g, group in enumerate(plan.groups) for t in group.trials}

    def trained(self, result: SweepResult, trial: int, seed: int) -> Fit:
        leaves = self._store.model((trial, seed))
        if leaves is None:
            updates = result.steps[result.reached[trial, seed] - 1]
            warnings.warn(
                f"the sweep kept no model of trial {trial} and seed {result.seeds[seed]}: it is "
                f"trained again ({several(updates, 'update')}). sweep(..., keep=k) keeps "
                "the best ones",
                stacklevel=3,
            )
            leaves = self.again(result, (trial, seed))
        numbers = self._stretches(result, trial)[-1][1]
        population = self._population(trial)
        one = {name: np.array([value], np.result_type(float)) for name, value in numbers.items()}
        alone = Population(
            population.task,
            self._plan.jobs[self._group_of[trial]].optimizer,
            numbers,
            Layout("vmap", self._devices[:1]),
        )
        lanes = alone.place([x[None] for x in leaves], one, self._plan.key_type)
        lane = jax.tree.map(lambda x: x[0], lanes)
        return Fit.of(lane, self._history(result, trial, seed), population.task)

    def line(self, trial: int, configuration: dict[str, Any]) -> str:
        return code_of("optimizer", self._plan.optimizer, configuration)

    def costs(self, trials: Sequence[int]) -> list[tuple[float, float]]:
        groups = {self._group_of[t] for t in trials}
        seconds = step_seconds(
            {g: Ran(self._plan, self._devices, self._resolved[g], g) for g in groups}
        )
        return [(seconds[self._group_of[t]], self._ratio(t)) for t in trials]

    def _ratio(self, trial: int) -> float:
        job = self._plan.jobs[self._group_of[trial]]
        numbers = {name: self._plan.configurations[trial][name] for name in job.names}
        return state_ratio(job.optimizer(**numbers), job.task)

    def keep(self, result: SweepResult, keep: Keep, across: bool) -> None:
        """Keeps all seeds of the best configurations, now that it is known which these are.

        Nearly always they are there already; those of a sweep that was finished before, or has
        grown, are trained again.

        Args:
          result: what came out.
          keep: how many, and by what.
          across: whether the processes of `jax.distributed` have some each.
        """
        best = keep.ranked(result.means(keep.metric))
        lanes = [(trial, seed) for trial in best for seed in range(keep.seeds)]
        found = {lane: self._store.model(lane) for lane in lanes}
        if across:
            own = {lane: leaves for lane, leaves in found.items() if leaves is not None}
            for theirs in exchanged(own):
                for lane, leaves in theirs.items():
                    if found[lane] is None:
                        found[lane] = leaves
                        self._store.put(lane, leaves)
        for lane in lanes:
            if found[lane] is None:
                self._store.put(lane, self.again(result, lane))
                result.trained_now += int(result.steps[-1])

    def again(self, result: SweepResult, lane: Lane) -> Leaves:
        """A lane's arrays, trained again at the width and on as many devices as in the sweep."""
        trial, seed = lane
        group = self._group_of[trial]
        population, width = self._population(trial), self._resolved[group].width
        itinerary, last = self._plan.itinerary, int(result.reached[trial, seed])
        end = itinerary.updates_at(last)
        stretches = [s for s in self._stretches(result, trial) if s[0] < end]
        starts = itinerary.evaluations_made(np.array([step for step, _ in stretches])).tolist()
        state = None
        for (step, numbers), first, stop in zip(
            stretches, starts, [*starts[1:], last], strict=True
        ):
            piece = Piece(
                name="again",
                group=group,
                lanes=[lane],
                seeds=np.array([self._plan.seeds[seed]], np.uint32),
                numbers={name: np.array([value], float) for name, value in numbers.items()},
                first=first,
                last=stop,
                width=width,
                state=state,
                replaced=step > 0,
                keep=True,
            )
            state = run_piece(self._plan.jobs[group], piece, population).state
        assert state is not None
        return [x[0] for x in state.leaves]

    def _population(self, trial: int) -> Population:
        group = self._group_of[trial]
        layout = Layout(self._resolved[group].strategy, self._devices)
        job = dataclasses.replace(self._plan.jobs[group], watched=NOTHING)
        return job.population(layout, self._plan.numbers(group))

    def _stretches(self, result: SweepResult, trial: int) -> list[tuple[int, dict[str, float]]]:
        """From which update on a lane's weights were trained with which numbers, back through those
        that it copied."""
        found: list[tuple[int, dict[str, float]]] = []
        now, end = trial, int(self._plan.itinerary.steps)
        while True:
            own = [e for e in result.lineage if e.trial == now and e.step < end]
            event: Event | None = max(own, key=lambda e: e.step, default=None)
            names = self._plan.groups[self._group_of[now]].numbers
            initial = {k: float(self._plan.configurations[now][k]) for k in names}
            if event is None:
                return [(0, initial), *found]
            found = [(event.step, {**initial, **event.numbers}), *found]
            now, end = event.source, event.step

    @staticmethod
    def _history(result: SweepResult, trial: int, seed: int) -> dict[str, np.ndarray]:
        made = int(result.reached[trial, seed])
        history = {"step": np.asarray(result.steps[:made])}
        return history | {k: v[trial, seed, :made].copy() for k, v in result.values.items()}
