"""What is tried next? The list, then the neighbours of its leaders; decided on what came out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lropt_jax.comparisons import proposals
from lropt_jax.sweeps.deciding.rules import Decision, Rule, Standing, successive_halving
from lropt_jax.sweeps.planning.draws import draw, size
from lropt_jax.sweeps.planning.space import Range, listed
from lropt_jax.training.visits import Itinerary
from lropt_jax.tuning.board import Board, Tried
from lropt_jax.tuning.contenders import Configuration
from lropt_jax.tuning.journal import Move
from lropt_jax.tuning.nearby import around_point, around_row

FIRST_SHARE = 0.5  # of the budget, for the list; the rest goes to the neighbours of its leaders
HALVED = 12  # trainings left from which on successive halving pays
ETA, RUNG = 2.0, 4  # half of them go on after a quarter of the updates
AGAIN_SEEDS = 2  # further ones, for the best of a search of so many trainings:
AGAIN_FROM = 20
AGAIN_FOR = 16  # trainings for each configuration more that is tried again
OTHER_TURN = 3  # every third round of neighbours is the second optimizer's,
CLOSE_RIVAL = 3.0  # if it is within so many tolerances
NARROWER, ROUNDS = 0.7, 12  # each second round's box, until it is wide again
SMALLER = (1e-2, 1e-4, 1e-6)  # times the first rate, where nothing finished

Part = tuple[str, list[Configuration], str]  # whose, what, and where it comes from


def next_move(board: Board, count: int, at_once: int, timed: bool = False) -> Move | None:
    """What is tried next; None where there is nothing left.

    Args:
      board: what came out.
      count: trainings that there is budget left for, at least 1.
      at_once: of a move, at most about: time is looked at between moves.
      timed: whether time is what counts: a program that is not full takes as long as a full one,
        and each further optimizer is compiled.
    """
    most = max(1, count // board.width) if timed else len(board.contenders)
    side = board.width if timed else 1
    whole = count + len(board.tried)
    first = min(count, max(1, math.ceil(FIRST_SHARE * whole)) - len(board.tried))
    # Several of an optimizer, which share a program: of the list, twice as many at once.
    if first > 0 and (move := _of_list(board, min(first, 2 * at_once), most, side)):
        return move
    if not board.ranked():
        return _of_list(board, min(count, 2 * at_once), most, side) or _smaller(board, count)
    again = _again(board, count)
    left = count - len(again) * AGAIN_SEEDS
    if left > 0 and (move := _near(board, left, at_once)):
        return move
    if not again:
        return None
    return {"kind": "again", "tried": [board.tried.index(t) for t in again]}


def configurations(board: Board, move: Move) -> list[Part]:
    """A move as configurations, an optimizer after the other."""
    if move["kind"] == "list":
        parts: list[Part] = []
        for name, places in move["rows"].items():
            found = [board.row_configuration(p, name) for p in places]
            parts.append((name, found, "list"))
        for name, count in move["points"].items():
            before = _drawn(board, name)
            parts.append((name, _points(board, name, before + count)[before:], "space"))
        return parts
    if move["kind"] == "smaller":
        first = next(t for t in board.tried if t.contender == move["contender"])
        rate = first.configuration["learning_rate"]
        found = [{**first.configuration, "learning_rate": rate * s} for s in SMALLER]
        return [(first.contender, found[: move["count"]], "smaller")]
    leader = board.tried[move["leader"]]
    words = [*board.setting.words, 1 + move["round"]]
    drawn = draw(_box(board, leader, move["round"]), move["count"], words)
    return [(leader.contender, drawn, "near")]


def rule_of(board: Board, move: Move) -> Rule | None:
    """Who of a move goes on: all, or half of them."""
    return halving(board) if move.get("halve") else None


def halving(board: Board) -> Rule | None:
    """Half go on after a quarter of the updates; None where trainings are too short for it."""
    when = board.setting.when
    rung = math.ceil(when.steps / RUNG / when.eval_every) * when.eval_every
    if rung * ETA > when.steps:
        return None
    return OneRung(rung, board.setting.metric, board.setting.mode)


class OneRung:
    """Successive halving that decides once."""

    def __init__(self, rung: int, metric: str, mode: str):
        self._rule, self._rung = successive_halving(ETA, rung, metric, mode), rung
        self.metric = self._rule.metric

    def rungs(self, plan: Itinerary) -> list[int]:
        """After how many evaluations it decides."""
        return self._rule.rungs(plan)[:1]

    def decide(self, standing: Standing) -> Decision:
        """Who goes on."""
        return self._rule.decide(standing)

    def __repr__(self) -> str:
        return f"1 of {ETA:g} at {self._rung} updates, by {self.metric}"


def _of_list(board: Board, count: int, most: int, at_once: int) -> Move | None:
    """The next rows of the list, of so many optimizers at most, and the next points of a person's
    own spaces among them."""
    own = [
        n for n, c in board.contenders.items()
        if c.space is not None and _drawn(board, n) < _size(board, n)
    ]  # fmt: skip
    share = max(1, count // (len(own) + 1))
    rows = _followed(board, max(1, count - share * len(own)), at_once)
    names = list(dict.fromkeys(name for _, name in rows))[:most]
    rows = [(place, name) for place, name in rows if name in names]
    left = count - len(rows)
    parts: dict[str, list[int]] = {}
    for place, name in sorted(rows):
        parts.setdefault(name, []).append(place)
    points: dict[str, int] = {}
    for name in own:
        points[name] = int(min(share, left, _size(board, name) - _drawn(board, name)))
        left -= points[name]
    points = {n: k for n, k in points.items() if k > 0}
    return {"kind": "list", "rows": parts, "points": points} if parts or points else None


def _followed(board: Board, count: int, at_once: int) -> list[tuple[int, str]]:
    """The next rows of the list, at most so many, and whose they are.

    Some of both sides begin, those that were learned and those of the prior; then as many again as
    there were come from the side that has the best so far.
    """
    learned, prior = board.sides()
    tried = len(learned.tried) + len(prior.tried)
    if not tried:
        return sorted(learned.waiting[:at_once] + prior.waiting[:at_once])[:count]
    first, second = (prior, learned) if prior.ahead_of(learned) else (learned, prior)
    return [*first.waiting, *second.waiting][: min(count, max(tried, at_once))]


def _smaller(board: Board, count: int) -> Move | None:
    """Where nothing finished: far smaller rates, once."""
    lists = [t.contender for t in board.tried if t.origin == "list"]
    if not lists or any(t.origin == "smaller" for t in board.tried):
        return None
    return {"kind": "smaller", "contender": lists[0], "count": min(count, len(SMALLER))}


def _again(board: Board, count: int) -> list[Tried]:
    """At its end, those that a long search tries on further seeds: the best of many is lucky."""
    whole = len(board.tried) + count
    if whole < AGAIN_FROM or any(len(t.values) > 1 for t in board.tried):
        return []
    return board.ranked()[: min(2 + whole // AGAIN_FOR, count // AGAIN_SEEDS)]


def _near(board: Board, count: int, at_once: int) -> Move | None:
    """Neighbours of the leader, each third round of the best of another optimizer."""
    order = [t for t in board.ranked() if _free(_box(board, t, 0))]
    if not order:
        return None
    leader = order[0]
    others = [t for t in order if t.contender != leader.contender]
    close = others and abs(others[0].value - leader.value) <= CLOSE_RIVAL * board.tolerance
    if close and board.rounds % OTHER_TURN == OTHER_TURN - 1:
        leader = others[0]
    halve = count >= HALVED and halving(board) is not None
    size = min(count, at_once)
    if halve:  # as many updates in all
        size = int(size / (1 / RUNG + (1 - 1 / RUNG) / ETA))
    place = board.tried.index(leader)
    return {"kind": "near", "leader": place, "count": size, "round": board.rounds, "halve": halve}


def _box(board: Board, leader: Tried, round_: int) -> dict[str, Any]:
    contender, reach = board.contenders[leader.contender], NARROWER ** (round_ % ROUNDS // 2)
    if contender.rows:
        return around_row(leader.configuration, board.steps, reach)
    assert contender.space is not None
    own = proposals.place(contender.space, leader.configuration)
    space = {} if own is None else listed(contender.space)[own]
    return around_point(space, leader.configuration, reach)


def _free(box: Mapping[str, Any]) -> bool:
    return any(isinstance(v, Range) for v in box.values())


def _drawn(board: Board, name: str) -> int:
    """How many points of a person's own space were tried."""
    return sum(t.contender == name and t.origin == "space" for t in board.tried)


def _size(board: Board, name: str) -> float:
    """How many different points it has."""
    space = board.contenders[name].space
    assert space is not None
    if any(_free(one) for one in listed(space)):
        return math.inf
    return size(space)


def _points(board: Board, name: str, count: int) -> list[Configuration]:
    """The first points of a person's own space: sampled, or of its full grid in another order."""
    space, words = board.contenders[name].space, board.setting.words
    assert space is not None
    if any(_free(one) for one in listed(space)):
        return draw(space, count, words)
    whole = draw(space, None)
    order = np.random.default_rng(words).permutation(len(whole))
    return [whole[i] for i in order[:count]]
