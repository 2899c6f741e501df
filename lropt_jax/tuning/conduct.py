"""A call of `tune` from its plan to its answer: what is measured, searched, retrained, and when."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from lropt_jax.progress import progress_bar
from lropt_jax.range_tests import RangeTest
from lropt_jax.sweeps.running.foreseen import Cost, foreseen
from lropt_jax.sweeps.running.placement import Placement
from lropt_jax.sweeps.running.strategy import Load, resolve
from lropt_jax.sweeps.running.timing import Timed
from lropt_jax.tasks.task import Task
from lropt_jax.training.layout import Layout
from lropt_jax.training.visits import itinerary
from lropt_jax.tuning import finals, words
from lropt_jax.tuning.board import Board, Setting
from lropt_jax.tuning.budget import (
    EPOCHS,
    INTERRUPTED,
    TRAININGS,
    UNKNOWN,
    Budget,
    Meter,
    OutOfTime,
)
from lropt_jax.tuning.contenders import Contender
from lropt_jax.tuning.journal import Journal
from lropt_jax.tuning.rates import PlannedTest, of_kind, planned_tests, tested
from lropt_jax.tuning.result import Tuning
from lropt_jax.tuning.trying import Search

EVALUATIONS = 10  # of a training
COMPILED = 2  # further optimizers that time is kept for
ROOM = 0.7  # of the time is planned with: evaluations and compilations are not foreseen


@dataclasses.dataclass
class Call:
    """One call of `tune`, whose arguments have been checked."""

    task: Task
    budget: Budget
    metric: str
    mode: str
    contenders: dict[str, Contender]
    baseline: Contender | None
    seeds: int
    key: Any
    journal: Journal
    began: float

    def plan(self, length: int | None) -> str:
        """What is going to be done, in words."""
        return words.plan_words(
            self.budget, length, sum(t.model_steps for t in self._tests(length)), finals.MOST,
            self.seeds, list(self.contenders), self.baseline is not None, self.metric,
        )  # fmt: skip

    def cost(self, length: int | None) -> Cost:
        """At most what it costs; where time is what counts, about what there is time for."""
        steps = length or UNKNOWN
        setting = Setting(
            self.task, itinerary(steps, max(1, math.ceil(steps / EVALUATIONS))), self.metric,
            self.mode, self.key, Placement(),
        )  # fmt: skip
        contender = next(iter(self.contenders.values()))
        plan = setting.plan(contender, [contender.first(steps)], range(self.seeds))
        if self.budget.seconds is not None:
            one = foreseen(plan, Placement())
            count = int(ROOM * self.budget.seconds * one.model_steps / one.seconds)
            return dataclasses.replace(
                one, trainings=count // steps, model_steps=count, seconds=self.budget.seconds
            )
        count = int(self._total(length)) + self._fresh(length)
        found = foreseen(plan, Placement(), len(self.contenders), count / plan.model_steps)
        return dataclasses.replace(found, trainings=count // steps, model_steps=count)

    def _fresh(self, length: int | None) -> int:
        """The model-steps of the last step, at most."""
        return (finals.MOST + (self.baseline is not None)) * self.seeds * (length or UNKNOWN)

    def _total(self, length: int | None) -> float:
        return self.budget.total(length or UNKNOWN)

    def _tests(self, length: int | None) -> list[PlannedTest]:
        return planned_tests(self.contenders, self._total(length), length or UNKNOWN)

    def answer(self, length: int | None, progress: Any, learned_from: str | None) -> Tuning:
        """Does it all."""
        total, tests, plan = self._total(length), self._tests(length), self.plan(length)
        if progress is True:
            print(plan, file=sys.stderr, flush=True)
        shown = 2.0 * TRAININGS * (length or UNKNOWN)
        if math.isfinite(total):
            shown = total + self._fresh(length)
        self.journal.write(self.journal.seconds)
        stopped = ""
        with progress_bar(progress, int(shown), "tune") as bar:
            began = self.began - self.journal.seconds
            meter = Meter(self.budget, bar, int(shown), began)
            search, curves, used = None, {}, 0
            try:
                placement, pace = self._placed(length or UNKNOWN, meter)
                for one in self._in_time(tests, pace, meter):
                    curves[one.name] = tested(self.task, one, self.key, self.journal, meter)
                    used += one.model_steps
                if length is None:  # after what is compiled has been
                    length = self._affordable_length(pace, placement, meter)
                every = max(1, math.ceil(length / EVALUATIONS))
                setting = Setting(
                    self.task, itinerary(length, every), self.metric, self.mode, self.key, placement
                )
                board = Board(setting, self.contenders, _suggestions(self.contenders, curves))
                search = Search(
                    board, self.budget.total(length) - used,
                    (self.seeds, 1 + (self.baseline is not None)), meter, self.journal,
                )  # fmt: skip
                if pace:
                    search.pace = min(search.pace, pace)
                search.run()
            except OutOfTime:
                pass  # what is left is for the fresh seeds
            except KeyboardInterrupt:
                stopped = INTERRUPTED
            return self._ended(search, curves, used, meter, plan, stopped, length, learned_from)

    def _ended(
        self,
        search: Search | None,
        curves: dict[str, RangeTest],
        used: int,
        meter: Meter,
        plan: str,
        stopped: str,
        length: int | None,
        learned_from: str | None,
    ) -> Tuning:
        if search is None:  # interrupted before anything was tried
            raise KeyboardInterrupt
        found: list[finals.Finalist] = []
        if not stopped:
            try:
                self._finals(search, meter, found)
                if not found and search.board.ranked():
                    stopped = "there was no time for fresh seeds"
                self.journal.facts["finished"] = True
            except OutOfTime:
                stopped = "the time was over before all fresh seeds were trained"
                self.journal.facts["finished"] = True
            except KeyboardInterrupt:
                stopped = INTERRUPTED
        self.journal.write(meter.seconds)
        chosen, alike = finals.winner(found, search.board)
        assert length is not None
        return Tuning(
            self.metric, self.mode, length, search.board, found, chosen, alike, curves, plan,
            stopped, learned_from, meter.seconds, search.model_steps + used,
        )  # fmt: skip

    def _finals(self, search: Search, meter: Meter, found: list[finals.Finalist]) -> None:
        meter.until(0.0)
        made = [m for m in self.journal.moves if m["kind"] == "final"]
        if not made:
            count, seeds = finals.affordable(search, self.seeds, self.baseline is not None)
            chosen = finals.tied(search.board, count) if count else []
            if not chosen:
                return
            self.journal.moves.append(finals.move_of(chosen, seeds, search.board))
            self.journal.write(meter.seconds)
        finals.retrained(search, self.journal.moves[-1], self.baseline, found)

    def _in_time(
        self, tests: list[PlannedTest], pace: float, meter: Meter
    ) -> Iterator[PlannedTest]:
        """The range tests that there is time for, or was when this was begun."""
        decided = self.journal.facts.setdefault("range_tests", {})
        compiling = self.journal.facts.get("compiling", 0.0)
        for one in tests:
            if one.name not in decided:
                expected = one.model_steps * pace + compiling
                decided[one.name] = expected <= one.share * meter.left
                self.journal.write(meter.seconds)
            if decided[one.name]:
                before = meter.seconds
                yield one
                compiling = max(compiling, meter.seconds - before - one.model_steps * pace)

    def _placed(self, length: int, meter: Meter) -> tuple[Placement, float]:
        """Where all is trained, and where time counts, the seconds of an update of one model."""
        name, contender = next(iter(self.contenders.items()))
        devices = jax.local_devices()
        count = min(len(devices), self.seeds)
        width = -(-self.seeds // count) * count
        facts = self.journal.facts
        setting = Setting(
            self.task, itinerary(length, None), self.metric, self.mode, self.key, Placement()
        )
        job_of = setting.plan(contender, [contender.first(length)], range(self.seeds))
        numbers, job = job_of.numbers(0), job_of.jobs[0]
        if "strategy" not in facts:
            load = Load(numbers, width, self.seeds)
            facts["strategy"] = resolve(load, "auto", width, job, devices[:count]).strategy
        pace = 0.0
        if self.budget.seconds is not None:
            meter.describe(f"{name}: compiling")
            if "update" not in facts:
                layout = Layout(facts["strategy"], tuple(devices[:count]))
                timed = Timed(job, numbers, width, layout)
                facts["update"] = timed.seconds() / width
                facts["compiling"] = timed.compiling
            pace = facts["update"]
        self.journal.write(meter.seconds)
        return Placement(facts["strategy"], width, count), pace

    def _affordable_length(self, pace: float, placement: Placement, meter: Meter) -> int:
        """The updates of a training, where time is what counts: so many that there is time for
        `TRAININGS` of them in full programs, and for one configuration on the fresh seeds."""
        facts = self.journal.facts
        if "steps" not in facts:
            width, after = placement.width or 1, 1 + (self.baseline is not None)
            trainings = width * (math.ceil(TRAININGS / width) + after)
            left = max(meter.left - COMPILED * facts.get("compiling", 0.0), meter.left / 4)
            usual = EPOCHS * self.task.steps_per_epoch
            most = int(ROOM * left / (trainings * max(pace, 1e-9)))
            # With no time left nothing will be trained: the answer is for a usual length.
            facts["steps"] = min(usual, max(most, 1)) if left > 0 else usual
        return int(facts["steps"])


def _suggestions(
    contenders: Mapping[str, Contender], curves: Mapping[str, RangeTest]
) -> dict[str, float | None]:
    """The rate that a range test suggests, for the optimizers whose rates mean the same."""
    suggested = {name: curve.suggestion for name, curve in curves.items()}
    return {name: of_kind(name, suggested) for name, c in contenders.items() if c.rows}
