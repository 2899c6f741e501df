"""Who trains when? From rung to rung: pieces out, outcomes in, the rule decides, lanes repacked."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from lropt_jax.progress import Progress, several
from lropt_jax.sweeps.deciding.rules import Decision, Standing
from lropt_jax.sweeps.keeping.models import Lane
from lropt_jax.sweeps.planning.groups import chunks, chunks_by_seed
from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.sweeps.results.saving import Event
from lropt_jax.sweeps.results.table import Table
from lropt_jax.sweeps.running.best import HoldsBest
from lropt_jax.sweeps.running.pieces import Piece, Rows, Runner, Snapshot, State, Watch


class Conductor:
    """A sweep from its first rung to its last.

    Args:
      plan: what is trained.
      lots: its lanes, those that train together at first.
      run: runs pieces, in any order, here or elsewhere.
      bar: what a person sees.
      best: takes the arrays of the best lanes, or None.
    """

    def __init__(
        self,
        plan: Plan,
        lots: Sequence[Sequence[Lane]],
        run: Runner,
        bar: Progress,
        best: HoldsBest | None = None,
    ):
        self._plan, self._lots, self._run, self._bar = plan, lots, run, bar
        self._best = best
        self._table = Table(plan)
        self._numbers = [dict(trial) for trial in plan.configurations]
        self._group_of = {t: g for g, group in enumerate(plan.groups) for t in group.trials}
        self._bank: dict[Lane, tuple[State, int]] = {}
        self._lineage: list[Event] = []
        self._model_steps = 0

    def conduct(self) -> SweepResult:
        """Trains everything."""
        rule, evaluations = self._plan.rule, len(self._plan.itinerary.evaluations)
        stops = [*([] if rule is None else rule.rungs(self._plan.itinerary)), evaluations]
        alive: tuple[int, ...] = tuple(range(len(self._numbers)))
        copied: set[int] = set()
        first = 0
        for rung, last in enumerate(stops):
            keep = last < stops[-1]
            pieces = self._pieces(rung, alive, copied, first, last, keep)
            arrived: dict[Lane, tuple[State, int]] = {}
            note = functools.partial(self._note, np.array(alive))
            watch = _Watching(self._table, note, self._best)
            for piece, outcome in self._run(pieces, watch):
                self._table.record(piece, outcome)
                if self._best is not None and last == stops[-1]:
                    self._best.recall(piece, outcome)
                self._model_steps += piece.updates(self._plan.itinerary) * len(piece.lanes)
                if keep:
                    state = outcome.state
                    arrived |= {lane: (state, i) for i, lane in enumerate(piece.lanes)}
                note()
            if not keep:
                break
            decision = self._decide(rung, alive, last)
            self._release(alive, decision, last)
            alive, copied = decision.alive, {c.trial for c in decision.copies}
            self._bank = self._survivors(arrived, decision)
            first = last
        return self._table.finish(
            strategy=[r.strategy for r in self._run.resolved],
            width=[r.width for r in self._run.resolved],
            model_steps=self._model_steps,
            lineage=self._lineage,
            trained_now=self._model_steps - self._run.read_back,
        )

    def _pieces(
        self,
        rung: int,
        alive: Sequence[int],
        copied: set[int],
        first: int,
        last: int,
        keep: bool,
    ) -> Iterator[Piece]:
        """The pieces of a rung, each made when it is asked for."""
        seeds = self._plan.seeds
        for lot, g, lanes in self._going(alive):
            resolved, name = self._run.resolved[g], self._plan.group_names[g]
            pack = chunks_by_seed if resolved.strategy == "shared" else chunks
            for i, chunk in enumerate(pack(lanes, resolved.width * self._run.chunks)):
                yield Piece(
                    name=f"lot{lot}-rung{rung}-{name}-piece{i}",
                    group=g,
                    lanes=chunk,
                    seeds=np.array([seeds[s] for _, s in chunk], np.uint32),
                    numbers={
                        name: np.array([self._numbers[t][name] for t, _ in chunk], float)
                        for name in self._plan.groups[g].numbers
                    },
                    first=first,
                    last=last,
                    width=resolved.width,
                    state=self._gathered(chunk) if first else None,
                    replaced=any(t in copied for t, _ in chunk),
                    keep=keep,
                    best=None if keep or self._best is None else self._best.keep,
                )

    def _going(self, alive: Sequence[int]) -> Iterator[tuple[int, int, list[Lane]]]:
        """The lanes that go on: those of each lot in each group, after the numbers of both."""
        going = set(alive)
        for lot, lanes in enumerate(self._lots):
            of_group: dict[int, list[Lane]] = {}
            for lane in lanes:
                if lane[0] in going:
                    of_group.setdefault(self._group_of[lane[0]], []).append(lane)
            for group, own in sorted(of_group.items()):
                yield lot, group, own

    def _gathered(self, lanes: Sequence[Lane]) -> State:
        rows = [self._bank[lane] for lane in lanes]
        leaves = [
            np.stack([state.leaves[i][row] for state, row in rows])
            for i in range(len(rows[0][0].leaves))
        ]
        return State(leaves, np.array([state.diverged_at[row] for state, row in rows]))

    def _decide(self, rung: int, alive: tuple[int, ...], last: int) -> Decision:
        assert self._plan.rule is not None
        columns = [
            {k: float(self._numbers[t][k]) for k in self._plan.groups[self._group_of[t]].numbers}
            for t in range(len(self._numbers))
        ]
        initial: dict[str, list[float]] = {}
        for t, trial in enumerate(self._plan.configurations):
            for name in columns[t]:
                initial.setdefault(name, []).append(float(trial[name]))
        standing = Standing(
            rung,
            alive,
            self._table.at(self._plan.rule.metric, last - 1),
            [self._group_of[t] for t in range(len(columns))],
            columns,
            {name: (min(values), max(values)) for name, values in initial.items()},
            tuple(int(word) for word in self._plan.key.ravel()),
            self._plan.whole,
        )
        return self._plan.rule.decide(standing)

    def _release(self, alive: Sequence[int], decision: Decision, last: int) -> None:
        """Marks who was pruned, and takes over the numbers of copies."""
        pruned = sorted(set(alive) - set(decision.alive))
        self._table.pruned[pruned] = True
        itinerary, seeds = self._plan.itinerary, len(self._plan.seeds)
        step = itinerary.updates_at(last)
        self._bar.skip(len(pruned) * seeds * (itinerary.steps - step))
        for copy in decision.copies:
            self._numbers[copy.trial] = {**self._numbers[copy.trial], **copy.numbers}
            self._lineage.append(Event(step, copy.trial, copy.source, copy.numbers))

    def _survivors(
        self, arrived: dict[Lane, tuple[State, int]], decision: Decision
    ) -> dict[Lane, tuple[State, int]]:
        """The lanes that go on, copied out of their chunks, so that the others' are free."""
        source = {t: t for t in decision.alive} | {c.trial: c.source for c in decision.copies}
        bank = {}
        for trial in decision.alive:
            for s in range(len(self._plan.seeds)):
                state, row = arrived[source[trial], s]
                bank[trial, s] = (state.rows([row]), 0)
        return bank

    def _note(self, alive: np.ndarray) -> None:
        diverged = self._table.diverged_at >= 0
        lanes = len(alive) * len(self._plan.seeds) - int(diverged[alive].sum())
        words = [f"{several(lanes, 'lane')} alive"]
        if diverged.any():
            words.append(f"{diverged.sum()} diverged")
        if self._table.pruned.any():
            words.append(f"{several(int(self._table.pruned.sum()), 'trial')} pruned")
        self._bar.note(", ".join(words))


class _Watching(Watch):
    """Enters in the table which lanes have diverged, as it is seen, and holds the best lanes."""

    def __init__(self, table: Table, note: Callable[[], None], best: HoldsBest | None):
        self._table, self._note, self._best = table, note, best

    def seen(self, piece: Piece, snapshot: Snapshot) -> None:
        self._table.mark(piece, snapshot)
        self._note()

    def ended(self, piece: Piece, snapshot: Snapshot, rows: Rows) -> None:
        if self._best is not None:
            self._best.ended(piece, snapshot, rows)
