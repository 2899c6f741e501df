"""Where does a piece run? In this process, or on whatever an executor reaches."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

import numpy as np

from lropt_jax.progress import Progress, several
from lropt_jax.sweeps.keeping.memory import Store
from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.sweeps.running.pieces import NOBODY, Piece, Snapshot, Watch
from lropt_jax.sweeps.running.queue import run_piece
from lropt_jax.sweeps.running.strategy import Load, Resolved, resolve
from lropt_jax.sweeps.running.worker import on_worker, run_there
from lropt_jax.training.digests import settings
from lropt_jax.training.layout import Layout
from lropt_jax.training.population import Population
from lropt_jax.validation import require

ATTEMPTS = 3  # of a piece whose worker is lost, before this process runs it
POLL = 0.02  # seconds between two looks at what has arrived


class InProcess:
    """Runs pieces one after another on this process's devices.

    Args:
      plan: what is trained.
      devices: to run on.
      store: where progress is kept.
      bar: what a person sees.

    Attributes:
      chunks: widths of a piece's queue of lanes; those that wait take the places of those that
        have diverged.
      resolved: how each group runs.
      read_back: model-steps that had been trained before.
    """

    chunks = 8

    def __init__(self, plan: Plan, devices: Sequence[Any], store: Store, bar: Progress):
        self._plan, self._devices = plan, tuple(devices)
        self._store, self._bar = store, bar
        self._populations: dict[int, Population] = {}
        self.resolved: list[Resolved] = []
        self.read_back = 0

    def resolve(self, group: int, strategy: str, width: int | None) -> Resolved:
        """The strategy and width of a group, found on these devices."""
        load, job = _load(self._plan, group), self._plan.jobs[group]
        return resolve(load, strategy, width, job, self._devices)

    def __call__(
        self, pieces: Iterable[Piece], watch: Watch = NOBODY
    ) -> Iterator[tuple[Piece, Snapshot]]:
        updates_at = self._plan.itinerary.updates_at
        for piece in pieces:
            begun = self._store.load(piece.name)
            if begun is not None:
                step = np.where(begun.ended, updates_at(piece.last), begun.step)
                made = int((step - updates_at(piece.first)).sum())
                self.read_back += made
                self._bar.skip(made)
            if begun is not None and begun.done:
                yield piece, begun
                continue
            job, bar = self._plan.jobs[piece.group], self._bar
            population = self._population(piece)
            save = functools.partial(self._store.save, piece.name) if self._store.lasts else None
            outcome = run_piece(job, piece, population, begun, save, bar.advance, bar.skip, watch)
            yield piece, outcome

    def _population(self, piece: Piece) -> Population:
        if piece.group not in self._populations:
            layout = Layout(self.resolved[piece.group].strategy, self._devices)
            population = self._plan.jobs[piece.group].population(layout, piece.numbers)
            self._populations[piece.group] = population
        return self._populations[piece.group]


class OnExecutor:
    """Sends each piece to an executor as one pure task.

    A task that raises because of the user's code raises here. A piece whose worker is lost is
    sent again; when the pool takes no more, this process runs the rest, with a warning.

    Attributes:
      chunks: one width a piece, so that there are many tasks.
      resolved: how each group runs.
      read_back: model-steps that had been trained before.

    Args:
      plan: what is trained.
      executor: anything with `submit` whose results have `done` and `result`.
      devices: how many of its own first devices each worker uses.
      store: where outcomes are kept.
      bar: what a person sees.
    """

    chunks = 1

    def __init__(self, plan: Plan, executor: Any, devices: int, store: Store, bar: Progress):
        require("executor=", "sweeps", "cloudpickle")
        import cloudpickle

        self._plan, self._executor, self._devices = plan, executor, devices
        self._store, self._bar = store, bar
        self._packed = [cloudpickle.dumps((job, settings())) for job in plan.jobs]
        self.resolved: list[Resolved] = []
        self.read_back = 0
        self._broken = False

    def resolve(self, group: int, strategy: str, width: int | None) -> Resolved:
        """The strategy and width of a group, found where it will run."""
        task = functools.partial(resolve, _load(self._plan, group), strategy, width)
        return next(self._all([(task, group, self._devices)]))[1]  # type: ignore[no-any-return]

    def __call__(
        self, pieces: Iterable[Piece], watch: Watch = NOBODY
    ) -> Iterator[tuple[Piece, Snapshot]]:
        waiting = []
        for piece in pieces:
            kept = self._store.load(piece.name)
            updates = piece.updates(self._plan.itinerary) * len(piece.lanes)
            if kept is not None and kept.done:
                self.read_back += updates
                self._bar.skip(updates)
                yield piece, kept
            else:
                waiting.append((piece, updates))
        tasks = [
            (functools.partial(run_there, p, self.resolved[p.group]), p.group, self._devices)
            for p, _ in waiting
        ]
        for number, outcome in self._all(tasks):
            piece, updates = waiting[number]
            if piece.best is not None:
                for rows in outcome.kept:
                    watch.ended(piece, outcome, rows)
                outcome.kept = []
            self._store.save(piece.name, outcome)
            self._bar.advance(updates)
            yield piece, outcome

    def _all(self, tasks: Sequence[tuple[Any, int, int]]) -> Iterator[tuple[int, Any]]:
        """The results of tasks by their number, as they arrive."""
        attempts = dict.fromkeys(range(len(tasks)), 0)
        here: list[int] = []
        sent: dict[int, Any] = {}
        for number in attempts:
            self._send(number, tasks, sent, here)
        try:
            while sent:
                arrived = [n for n, future in sent.items() if future.done()]
                if not arrived:
                    time.sleep(POLL)
                for number in arrived:
                    lost, result = _result(sent.pop(number))
                    if not lost:
                        yield number, _checked(result)
                        continue
                    attempts[number] += 1
                    if attempts[number] < ATTEMPTS:
                        self._send(number, tasks, sent, here)
                    else:
                        here.append(number)
        finally:
            for future in sent.values():
                future.cancel()
        if here:
            warnings.warn(
                f"the executor lost {several(len(here), 'task')} for good: "
                "this process runs the rest",
                stacklevel=2,
            )
        for number in here:
            task, group, devices = tasks[number]
            yield number, _checked(on_worker(self._packed[group], task, devices))

    def _send(
        self, number: int, tasks: Sequence[Any], sent: dict[int, Any], here: list[int]
    ) -> None:
        import cloudpickle

        task, group, devices = tasks[number]
        if not self._broken:
            try:
                packed = cloudpickle.dumps(task)
                sent[number] = self._executor.submit(
                    on_worker, self._packed[group], packed, devices
                )
                return
            except Exception as error:
                if not isinstance(error, RuntimeError):  # a broken or closed pool is one
                    raise
                self._broken = True
        here.append(number)


def _load(plan: Plan, group: int) -> Load:
    return Load(plan.numbers(group), plan.lanes(group), len(plan.seeds))


def _result(future: Any) -> tuple[bool, Any]:
    """Whether a task was lost, and what it returned. A task returns its own errors."""
    try:
        return False, future.result()
    except (Exception, CancelledError):
        return True, None


def _checked(result: Any) -> Any:
    kind, value, words = result
    if kind == "error":
        value.add_note(f"On the worker:\n{words}")
        raise value
    return value
