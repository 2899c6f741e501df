"""What is one piece of work? A chunk of lanes from one evaluation to another, as a pure task.

A piece takes lane state and returns lane state, so it can run anywhere: in this process with its
progress saved after each segment, or on another machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.hyperparameters import set_hyperparams
from lropt_jax.itinerary import Itinerary
from lropt_jax.layout import Layout
from lropt_jax.population import Population, on_host
from lropt_jax.run import Run
from lropt_jax.schedules.base import float_type
from lropt_jax.sweeps.plan import places
from lropt_jax.task import Task

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """What all pieces of a group share.

    Attributes:
      task: the training problem.
      optimizer: `optimizer(**numbers)` makes a lane's transformation.
      names: of the numbers.
      plan: when the host visits.
      key: the words of the sweep's key.
      key_type: the generator that the key is for.
      final_splits: the splits to evaluate after the last update.
    """

    task: Task
    optimizer: Callable[..., optax.GradientTransformation]
    names: tuple[str, ...]
    plan: Itinerary
    key: np.ndarray
    key_type: str
    final_splits: tuple[str, ...]

    def population(self, layout: Layout, numbers: Mapping[str, np.ndarray]) -> Population:
        """The programs of this job on these devices."""
        first = {name: float(values[0]) for name, values in numbers.items()}
        return Population(self.task, self.optimizer, first, layout)


@dataclasses.dataclass
class State:
    """Lanes as they stand, on the host.

    Attributes:
      leaves: the lanes' arrays, each (lanes, ...).
      diverged_at: updates taken before the first non-finite value, or -1, (lanes,).
    """

    leaves: list[np.ndarray]
    diverged_at: np.ndarray

    def rows(self, which: Sequence[int]) -> State:
        """The state of some lanes, copied."""
        chosen = list(which)
        return State([x[chosen] for x in self.leaves], self.diverged_at[chosen])


@dataclasses.dataclass
class Piece:
    """A chunk of lanes from one evaluation to another.

    Attributes:
      name: unique in the sweep.
      group: whose job it is.
      lanes: `(trial, seed number)` of each lane.
      seeds: the seed of each lane.
      numbers: the hyperparameters of each lane, by name.
      first, last: the evaluations that it makes, as numbers in the plan, `last` not included.
      width: lanes of the program.
      state: the lanes to go on with, or None to begin.
      replaced: whether `numbers` replace those in the state.
      keep: whether the lanes are needed afterwards.
    """

    name: str
    group: int
    lanes: list[tuple[int, int]]
    seeds: np.ndarray
    numbers: Arrays
    first: int
    last: int
    width: int
    state: State | None = None
    replaced: bool = False
    keep: bool = False

    def updates(self, plan: Itinerary) -> int:
        """The updates of each lane."""
        stops = [0, *plan.evaluations]
        return stops[self.last] - stops[self.first]


@dataclasses.dataclass
class Snapshot:
    """A piece as far as it has come.

    Attributes:
      step: updates taken by each lane.
      metrics: each metric at the piece's evaluations so far, (lanes, evaluations so far).
      final: each metric over whole splits after the last update, (lanes,).
      totals: see `Run`.
      diverged_at: see `State`.
      leaves: the lanes' arrays; None where they are not needed any more.
      done: whether it is complete.
    """

    step: int
    metrics: Arrays
    final: Arrays
    totals: Arrays
    diverged_at: np.ndarray
    leaves: list[np.ndarray] | None
    done: bool = False

    @property
    def state(self) -> State:
        assert self.leaves is not None
        return State(self.leaves, self.diverged_at)


def run_piece(
    job: Job,
    piece: Piece,
    population: Population,
    begun: Snapshot | None = None,
    save: Callable[[Snapshot], None] | None = None,
    advance: Callable[[int], None] = lambda model_steps: None,
) -> Snapshot:
    """Trains a piece to its end.

    Args:
      job: what its group shares.
      piece: the piece.
      population: the job's programs.
      begun: to go on from here.
      save: called with a snapshot after each segment.
      advance: called with the model-steps done.
    """
    count = len(piece.lanes)
    rows = places(count, piece.width, len(population.layout.devices))
    stops = job.plan.evaluations
    run, metrics, final = _begin(job, piece, population, rows, begun)

    def snapshot(keep: bool, done: bool = False) -> Snapshot:
        leaves = [x[rows] for x in on_host(run.lanes)] if keep else None
        totals = {k: v[rows] for k, v in run.totals.items()}
        columns = {k: np.stack(v, axis=1) for k, v in metrics.items()}
        return Snapshot(run.step, columns, final, totals, run.diverged_at[rows], leaves, done)

    def segment_done(updates: int) -> None:
        # A segment that an evaluation follows is saved with it.
        if save is not None and run.step not in stops:
            save(snapshot(keep=True))
        advance(updates * count)

    for number in range(piece.first, piece.last):
        stop = stops[number]
        if run.step >= stop:
            continue
        for name, values in run.visit(job.plan, stop, segment_done).items():
            metrics.setdefault(name, []).append(values[rows])
        if save is not None and number + 1 < piece.last:
            save(snapshot(keep=True))
    if piece.last == len(stops):
        for split in job.final_splits:
            final |= {k: v[rows] for k, v in run.evaluate(stops[-1], split).items()}
    complete = snapshot(piece.keep, done=True)
    if save is not None:
        save(complete)
    return complete


def _begin(
    job: Job, piece: Piece, population: Population, rows: np.ndarray, begun: Snapshot | None
) -> tuple[Run, dict[str, list[np.ndarray]], Arrays]:
    filled, wanted = np.zeros(piece.width, int), np.zeros(piece.width, bool)
    filled[rows], wanted[rows] = np.arange(len(rows)), True  # the first lane fills the others
    numbers = {k: np.asarray(piece.numbers[k], float_type())[filled] for k in job.names}
    stops = [0, *job.plan.evaluations]
    if begun is None and piece.state is None:
        root = jax.random.wrap_key_data(jnp.asarray(job.key), impl=job.key_type)
        keys = jax.vmap(lambda s: jax.random.fold_in(root, s))(jnp.asarray(piece.seeds[filled]))
        return Run.begin(population, keys, numbers, wanted), {}, {}

    resumed = begun or piece.state
    assert resumed is not None
    assert resumed.leaves is not None
    lanes = population.place([x[filled] for x in resumed.leaves], numbers, job.key_type)
    if begun is None and piece.replaced:
        lanes = lanes._replace(opt_state=set_hyperparams(lanes.opt_state, **numbers))
    step = stops[piece.first] if begun is None else begun.step
    since = max(stop for stop in stops if stop <= step)
    run = Run(population, lanes, resumed.diverged_at[filled], step, {}, since, wanted)
    if begun is None:
        return run, {}, {}
    run.totals = {k: v[filled] for k, v in begun.totals.items()}
    return run, {k: list(v.T) for k, v in begun.metrics.items()}, dict(begun.final)
