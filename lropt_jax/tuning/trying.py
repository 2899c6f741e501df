"""The search: move after move, as long as the budget allows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from lropt_jax.sweeps.deciding.rules import Rule
from lropt_jax.sweeps.engine import trained
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.tuning.board import Board, Tried
from lropt_jax.tuning.budget import Meter
from lropt_jax.tuning.contenders import Configuration
from lropt_jax.tuning.journal import Journal, Move
from lropt_jax.tuning.moves import AGAIN_SEEDS, configurations, next_move, rule_of

RESERVED = 0.4  # of the time at most, for the fresh seeds
ROOM = 0.7  # of the time that they have is planned with
SEED = 0  # that configurations are tried on; fresh ones come after it
LONGEST = 200  # trainings: where time is what counts, no more are worth it
MOVE = 4  # widths of the program: the trainings of a move

_WHY = {
    "list": "from the list", "space": "from its space", "near": "around the leader",
    "smaller": "smaller rates", "again": "the best on further seeds",
}  # fmt: skip


class Search:
    """The search.

    Args:
      board: what comes out.
      budget: model-steps that it may take; infinite where time is what counts.
      seeds: fresh ones that come after it, and on how many configurations at least: time is kept
        for them.
      meter: tells the time.
      journal: the moves.

    Attributes:
      model_steps: that it took.
      pace: seconds of one update of one model, as far as is known.
    """

    def __init__(
        self,
        board: Board,
        budget: float,
        seeds: tuple[int, int],
        meter: Meter,
        journal: Journal,
    ):
        self.board, self.budget, self.meter, self.journal = board, budget, meter, journal
        self.model_steps = 0
        self.pace: float = journal.facts.get("pace", math.inf)
        self._seeds, self._after = seeds
        self._compiling = 0.0  # seconds

    def run(self) -> None:
        """Tries what the budget allows."""
        number = 0
        while True:
            if number == len(self.journal.moves):
                move = self._next()
                if move is None:
                    return
                self.journal.moves.append(move)
                self.journal.write(self.meter.seconds)
            move = self.journal.moves[number]
            if move["kind"] == "final":
                return
            self.meter.until(self.reserve if self.board.tried else 0.0)
            before = self.model_steps
            self._make(number, move)
            number += 1
            if self.model_steps == before:  # there was no time for any part of it
                return

    @property
    def timed(self) -> bool:
        """Whether time is what counts."""
        return self.meter.budget.seconds is not None

    @property
    def reserve(self) -> float:
        """The seconds that are kept for what comes after the search."""
        if self.meter.budget.seconds is None:
            return 0.0
        lanes = math.ceil(self._seeds / self.board.width) * self.board.width
        pace = self.pace if self.pace < math.inf else 0.0
        wanted = self._after * (pace * self.board.steps * lanes / ROOM + self._compiling)
        return min(wanted, RESERVED * self.meter.budget.seconds)

    def _next(self) -> Move | None:
        count = self._affordable()
        if count < 1:
            return None
        at_once = self.board.width if self.timed else MOVE * self.board.width
        return next_move(self.board, count, at_once, self.timed)

    def _affordable(self) -> int:
        """How many whole trainings there is budget left for."""
        if not self.timed:
            return int((self.budget - self.model_steps) // self.board.steps)
        seconds, least = self.meter.left - self.reserve, 0 if self.board.tried else 1
        if self.pace == math.inf:
            return 1 if seconds > 0 else least
        count = int(seconds / max(self.pace * self.board.steps, 1e-9))
        return max(least, min(count, LONGEST - len(self.board.tried)))

    def _make(self, number: int, move: Move) -> None:
        """Trains a move, an optimizer after the other."""
        board = self.board
        if move["kind"] == "again":
            self._try_again(number, move["tried"])
        else:
            for name, found, origin in configurations(board, move):
                if self._too_late(name):
                    continue
                self._try(number, name, found, origin, rule_of(board, move))
        board.rounds += move["kind"] == "near"
        if board.ranked():
            best = board.ranked()[0]
            self.meter.best = f"best {best.value:.4g}: {best.contender}"
        self.journal.write(self.meter.seconds)

    def _too_late(self, name: str) -> bool:
        """Whether there is no time left to compile an optimizer that was not tried yet: nothing
        ends a compilation."""
        new = name not in self.board.results and self._compiling > 0
        return self.timed and new and self.meter.left - self.reserve < self._compiling

    def _try(
        self, number: int, name: str, found: list[Configuration], origin: str, rule: Rule | None
    ) -> None:
        board = self.board
        result = self._trained(number, name, found, [SEED], origin, rule)
        values = result.means(board.setting.metric)
        reached = [int(result.steps[n - 1]) if n else 0 for n in result.reached[:, 0]]
        for i, configuration in enumerate(result.trials):
            one = float(values[i]), str(result.status[i, 0]), reached[i]
            board.tried.append(Tried(name, configuration, one[:1], one[1], origin, one[2]))
        known = board.results.get(name)
        board.results[name] = result if known is None else known.joined(result)

    def _try_again(self, number: int, places: Sequence[int]) -> None:
        board = self.board
        seeds = range(SEED + 1, SEED + 1 + AGAIN_SEEDS)
        for name in dict.fromkeys(board.tried[p].contender for p in places):
            own = [p for p in places if board.tried[p].contender == name]
            found = [board.tried[p].configuration for p in own]
            result = self._trained(number, name, found, seeds, "again")
            for p, values in zip(own, result.last(board.setting.metric), strict=True):
                one = board.tried[p]
                board.tried[p] = dataclasses.replace(
                    one, values=(*one.values, *map(float, values)),
                    updates=one.updates + AGAIN_SEEDS * board.steps,
                )  # fmt: skip

    def _trained(
        self, number: int, name: str, found: list[Any], seeds: Any, why: str, rule: Any = None
    ) -> SweepResult:
        """A sweep, which counts."""
        before = self.meter.seconds
        self.meter.describe(f"{name}: {_WHY[why]}")
        plan = self.board.setting.plan(self.board.contenders[name], found, seeds, rule)
        folder = self.journal.folder(number, name)
        result = trained(plan, self.board.setting.placement, folder, self.meter)
        if result.trained_now:  # the first of an optimizer is compiled, too
            seconds = self.meter.seconds - before
            self.pace = min(self.pace, seconds / result.trained_now)
            self._compiling = max(self._compiling, seconds - self.pace * result.trained_now)
            self.journal.facts["pace"] = self.pace
        self.model_steps += result.model_steps
        return result
