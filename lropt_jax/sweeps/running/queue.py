"""Who has a place? The lanes of a piece pass through a program of fixed width.

A lane leaves its place when it comes to the piece's end or, at the end of a segment, when it has
diverged; one that waits takes it over, so that lanes of one program may be at different steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lropt_jax.hyperparameters.access import set_hyperparams
from lropt_jax.schedules.counts import float_type
from lropt_jax.sweeps.planning.groups import placed
from lropt_jax.sweeps.planning.jobs import Job
from lropt_jax.sweeps.running.pieces import NOBODY, Arrays, Piece, Rows, Snapshot, Watch
from lropt_jax.training.lanes import Lane
from lropt_jax.training.population import Population, on_host
from lropt_jax.training.run import Run

EMPTY = -1


def run_piece(
    job: Job,
    piece: Piece,
    population: Population,
    begun: Snapshot | None = None,
    save: Callable[[Snapshot], None] | None = None,
    advance: Callable[[int], None] = lambda model_steps: None,
    skip: Callable[[int], None] = lambda model_steps: None,
    watch: Watch = NOBODY,
) -> Snapshot:
    """Trains a piece to its end.

    Args:
      job: what its group shares.
      piece: the piece.
      population: the job's programs.
      begun: to go on from here.
      save: called with a snapshot after each segment.
      advance: called with the model-steps done.
      skip: called with the model-steps that divergences save.
      watch: told after each evaluation; the lanes' arrays in the snapshot are older.
    """
    queue = Queue(job, piece, population, begun, skip, watch)

    def segment_done(model_steps: int, last: bool) -> None:
        # The last segment of a visit is saved with its evaluation.
        if save is not None and not last:
            save(queue.snapshot())
        advance(model_steps)

    while queue.fill():
        queue.visit(segment_done)
        watch.seen(piece, queue.now)
        if save is not None:
            save(queue.snapshot())
    return queue.snapshot()


class Queue:
    """The lanes of a piece on their way.

    Args:
      job: what the piece's group shares.
      piece: the piece.
      population: the job's programs.
      begun: to go on from here.
      skip: called with the model-steps that divergences save.
      watch: told of lanes that have ended.

    Attributes:
      now: the piece as it stands, but for the arrays of the lanes under way (see `snapshot`).
    """

    def __init__(
        self,
        job: Job,
        piece: Piece,
        population: Population,
        begun: Snapshot | None,
        skip: Callable[[int], None],
        watch: Watch,
    ):
        self._job, self._piece, self._population = job, piece, population
        self._skip, self._watch = skip, watch
        self._start, self._end = map(job.itinerary.updates_at, (piece.first, piece.last))
        self._run: Run | None = None
        self._lane_in = np.full(piece.width, EMPTY)  # the lane in each place
        self.now = _untouched(piece, self._start) if begun is None else begun
        if begun is None and piece.state is not None:
            self.now.diverged_at = piece.state.diverged_at.copy()
            self._let_go(np.flatnonzero(self.now.diverged_at >= 0))
        if begun is not None and begun.under_way is not None:
            self._resume(begun.under_way)

    def fill(self) -> bool:
        """Lets lanes that wait take the free places; whether any lane is under way then."""
        in_place = self._lane_in[self._lane_in != EMPTY]
        layout = self._population.layout
        # Lanes that share their batches begin together.
        if not (layout.shares_batches and len(in_place)):
            waiting = ~self.now.ended
            waiting[in_place] = False
            free = self._lane_in == EMPTY
            entering = np.flatnonzero(waiting)[: free.sum()]
            if len(entering):
                places = placed(~free, len(entering), len(layout.devices))
                self._enter(places, entering, self._beginning(places, entering))
        return bool((self._lane_in != EMPTY).any())

    def visit(self, segment_done: Callable[[int, bool], None]) -> None:
        """Trains to the next evaluation of some lanes, or the divergence of others."""
        run, itinerary, now = self._run, self._job.itinerary, self.now
        assert run is not None

        def noted(model_steps: int, last: bool) -> None:
            self._note()
            segment_done(model_steps, last)

        there, metrics = run.visit(itinerary, noted)
        lanes = self._lane_in[there]
        columns = itinerary.evaluations_made(run.step[there]) - 1 - self._piece.first
        for name, values in metrics.items():
            _table(now.metrics, name, self._shape)[lanes, columns] = values[there]
        finished = there & (run.step == self._end)
        if self._end == itinerary.steps and finished.any():
            lanes = self._lane_in[finished]
            for split in self._job.splits:
                for name, values in run.evaluate(split, finished).items():
                    _table(now.final, name, self._shape[:1])[lanes] = values[finished]
        self._note()
        self._leave(run.working & (finished | (run.diverged_at >= 0)))

    def snapshot(self) -> Snapshot:
        """The piece as it stands."""
        now = self.now
        in_place = self._lane_in != EMPTY
        now.under_way = None
        if in_place.any():
            now.under_way = Rows(self._lane_in[in_place], self._leaves(in_place))
        return now

    @property
    def _shape(self) -> tuple[int, int]:
        return len(self._piece.lanes), self._piece.last - self._piece.first

    def _note(self) -> None:
        """Enters where the lanes in their places stand."""
        run, now = self._run, self.now
        assert run is not None
        places = self._lane_in != EMPTY
        lanes = self._lane_in[places]
        now.step[lanes], now.diverged_at[lanes] = run.step[places], run.diverged_at[places]
        for name, values in run.totals.items():
            _table(now.totals, name, self._shape[:1])[lanes] = values[places]

    def _leave(self, places: np.ndarray) -> None:
        """Lanes that have ended leave their places."""
        if not places.any():
            return
        assert self._run is not None
        lanes = self._lane_in[places]
        self._skip(int((self._end - self._run.step[places]).sum()))
        self.now.ended[lanes] = True
        if self._piece.keep:
            self.now.kept.append(Rows(lanes, self._leaves(places)))
        if self._piece.best is not None:
            self._watch.ended(self._piece, self.now, Rows(lanes, self._leaves(places)))
        self._lane_in[places] = EMPTY
        self._run.working = self._run.working & ~places

    def _let_go(self, lanes: np.ndarray) -> None:
        """Lanes that had diverged before this piece need no place."""
        assert self._piece.state is not None
        self._skip(len(lanes) * (self._end - self._start))
        self.now.ended[lanes] = True
        if self._piece.keep and len(lanes):
            self.now.kept.append(Rows(lanes, self._piece.state.rows(lanes).leaves))

    def _leaves(self, places: np.ndarray) -> list[np.ndarray]:
        assert self._run is not None
        return [x[places] for x in on_host(self._run.lanes)]

    def _enter(self, places: np.ndarray, lanes: np.ndarray, arrays: Lane) -> None:
        if self._run is None:
            self._run = Run.begin(self._population, arrays, self._start, diverged_rest=True)
            self._run.working = np.isin(np.arange(self._piece.width), places)
        else:
            self._run.enter(places, arrays, self._start)
        self._lane_in[places] = lanes

    def _beginning(self, places: np.ndarray, lanes: np.ndarray) -> Lane:
        """Lanes at the piece's beginning, in their places; the first of them in the others."""
        piece, filled = self._piece, self._filled(places, lanes)
        numbers = self._numbers(filled)
        if piece.state is None:
            return self._population.start(self._job.keys(piece.seeds[filled]), numbers)
        arrays = self._population.place(
            piece.state.rows(filled).leaves, numbers, self._job.key_type
        )
        if piece.replaced:
            arrays = arrays._replace(opt_state=set_hyperparams(arrays.opt_state, **numbers))
        return arrays

    def _resume(self, rows: Rows) -> None:
        """Lanes that were under way take places again."""
        devices = len(self._population.layout.devices)
        places = placed(np.zeros(self._piece.width, bool), len(rows.lanes), devices)
        among = self._filled(places, np.arange(len(rows.lanes)))
        arrays = self._population.place(
            [x[among] for x in rows.leaves], self._numbers(rows.lanes[among]), self._job.key_type
        )
        self._enter(places, rows.lanes, arrays)
        run, now, lanes = self._run, self.now, rows.lanes
        assert run is not None
        run.step[places], run.diverged_at[places] = now.step[lanes], now.diverged_at[lanes]
        run.since[places] = self._job.itinerary.last_evaluation(now.step[lanes])
        for name, values in now.totals.items():
            run.totals[name] = np.zeros(self._piece.width)
            run.totals[name][places] = values[lanes]

    def _filled(self, places: np.ndarray, lanes: np.ndarray) -> np.ndarray:
        filled = np.full(self._piece.width, lanes[0])
        filled[places] = lanes
        return filled

    def _numbers(self, lanes: np.ndarray) -> Arrays:
        return {k: np.asarray(self._piece.numbers[k], float_type())[lanes] for k in self._job.names}


def _untouched(piece: Piece, start: int) -> Snapshot:
    count = len(piece.lanes)
    step, ended = np.full(count, start), np.zeros(count, bool)
    return Snapshot(step, ended, {}, {}, {}, np.full(count, -1), None, [])


def _table(tables: Arrays, name: str, shape: tuple[int, ...]) -> np.ndarray:
    return tables.setdefault(name, np.full(shape, np.nan))
