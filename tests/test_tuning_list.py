"""The ordered list: what a row means, and how a list is learned from trainings on many problems."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

from lropt_jax import tune
from lropt_jax.comparisons.families import SCHEDULE_FAMILIES
from lropt_jax.tuning.board import Tried
from lropt_jax.tuning.configurations import complete, plain, planned, row, seen, shipped
from lropt_jax.tuning.learning import greedy, learn, regrets
from lropt_jax.tuning.moves import next_move
from lropt_jax.tuning.words import otherwise, unlike
from tests.problems import regression


def test_every_row_that_ships_makes_an_optimizer():
    learned_from, rows = shipped()
    assert learned_from is None or "Atlas" in learned_from
    assert len(rows) >= 16
    for one in complete(rows):
        configuration = one.configuration(200, 0.02)
        assert 0 <= configuration["warmup_steps"] < 200
        factory = planned(one.optimizer)
        assert hasattr(factory(**configuration), "update")
        assert factory.code(configuration).startswith("lropt_jax.")
        assert hasattr(plain(one.optimizer)(0.1), "update")
    # Those of an optimizer share a program: the same numbers.
    for _, group in itertools.groupby(sorted(complete(rows), key=lambda r: r.optimizer),
                                      key=lambda r: r.optimizer):  # fmt: skip
        assert len({tuple(sorted(one.numbers)) for one in group}) == 1


def test_a_rate_is_relative_to_the_suggestion_where_there_is_one():
    words = {"optimizer": "adamw", "relative": 2.0, "absolute": 0.5, "schedule": "cosine",
             "warmup": 0.1, "weight_decay": 0.3}  # fmt: skip
    one = row(words)
    assert one.configuration(50, 0.01)["learning_rate"] == 0.02
    assert one.configuration(50, None)["learning_rate"] == 0.5
    assert one.configuration(50, None)["warmup_steps"] == 5
    assert one.configuration(1, None)["warmup_steps"] == 0
    assert one.as_json() == words
    assert row({**words, "relative": None}).configuration(50, 0.01)["learning_rate"] == 0.5
    with pytest.raises(ValueError, match="schedule must be one of"):
        row({**words, "schedule": "cosin"})
    with pytest.raises(ValueError, match="absolute must be > 0"):
        row({**words, "absolute": 0})


def test_a_problem_unlike_those_of_the_list_is_told(monkeypatch):
    held = {"adamw": (0.001, 0.01)}
    monkeypatch.setattr("lropt_jax.tuning.words.seen", lambda: held)
    for suggested in (0.0004, 0.002, 0.029):  # within, or not far beyond
        assert unlike("adamw", suggested) == []
    for suggested in (0.0003, 0.04):
        (said,) = unlike("adamw", suggested)
        assert "your problem is unlike those that the list was learned on" in said
        assert f"of adamw suggests {suggested:.2g}, there it was 0.001 to 0.01" in said
    assert unlike("nesterov", 1e-9) == []  # nothing is known of it


@pytest.fixture(scope="module")
def board():
    return tune(regression(), steps=40, budget=20, seeds=2, progress=False).board


def _came(board, values):
    """The board with these values of the rows of the list, in its order."""
    made = []
    for (place, name), value in zip(board.places, values, strict=False):
        if value is not None:
            numbers = board.row_configuration(place, name)
            status = "finished" if np.isfinite(value) else "diverged"
            made.append(Tried(name, numbers, (value,), status, "list", 40))
    return dataclasses.replace(board, tried=made)


def _next(board, count=100, at_once=4, timed=False):
    move = next_move(board, count, at_once, timed)
    return sorted(place for places in move["rows"].values() for place in places)


def test_no_row_of_the_list_is_tried_twice(board):
    tried = [t for t in board.tried if t.origin == "list"]
    learned, prior = board.sides()
    assert len(tried) >= 8
    came = [row.came for side in (learned, prior) for row in side.rows if row.came is not None]
    assert len(came) == len(tried)
    assert (learned.rows[0].place, prior.rows[0].place) == (0, 1)


def test_the_list_goes_on_with_the_side_that_leads(board):
    assert board.setting.mode == "max"
    assert _next(_came(board, [])) == [0, 1]  # one that was learned, one of the prior, in turns
    assert _next(_came(board, [0.5, 0.5])) == [2, 4]
    assert _next(_came(board, [0.5, 0.6])) == [3, 5]
    assert _next(_came(board, [np.nan, 0.1])) == [3, 5]
    assert _next(_came(board, [np.nan, np.nan])) == [2, 4]
    # As many again as there were: the prior's, though a learned one came second.
    assert _next(_came(board, [0.5, 0.6, None, 0.4, None, 0.3])) == [7, 9, 11, 13]
    assert _next(_came(board, [0.5, 0.6, 0.7, 0.4])) == [4, 6, 8, 10]


def test_where_one_side_has_no_rows_left_the_other_goes_on(board):
    learned = board.sides()[0]
    values = [0.9 if i % 2 == 0 and i < 2 * len(learned.rows) else None for i in range(20)]
    values[1] = 0.1
    assert _next(_came(board, values))[0] == 3


def test_a_program_that_is_not_full_takes_as_long_as_a_full_one(board):
    width = board.width
    rows = _next(_came(board, []), at_once=width, timed=True)
    assert len(rows) == 2 * width
    assert rows == list(range(2 * width))


def test_a_problem_on_which_the_prior_leads_is_told(board):
    def said(*values):
        return " ".join(otherwise(_came(board, values)))

    assert said(0.9, 0.5) == said(0.90, 0.901) == said() == ""
    told = said(0.3, 0.9, 0.4)
    assert "unlike those that the list was learned on" in told
    assert "90%) is ahead of those that were learned, they come to 40% at best" in told
    assert "none of them finished" in said(np.nan, 0.9)


def test_what_is_known_of_the_problems_behind_the_list():
    learned_from, _ = shipped()
    assert bool(learned_from) == bool(seen())
    assert all(0 < low <= high for low, high in seen().values())


def test_greedy_takes_what_leaves_least():
    table = np.array([[0.5, 0.5, 0.5], [0.0, 1.0, 1.0], [1.0, 0.1, 0.2], [0.4, 0.6, 0.6]])
    order, curve = greedy(table, 4)
    # By hand: 2 leaves (1 + .1 + .2) / 3; with it 1 leaves .1; nothing is left to gain.
    assert order == [2, 1]
    np.testing.assert_allclose(curve, [1.3 / 3, 0.1])
    best_pair = min(
        itertools.combinations(range(4), 2), key=lambda p: table[list(p)].min(axis=0).mean()
    )
    assert set(best_pair) == set(order)


def test_regrets_are_of_each_problem_between_its_best_and_its_median():
    frame = pd.DataFrame(
        {"problem": ["a"] * 3 + ["b"] * 4, "value": [1.0, 2.0, 5.0, 0.9, 0.8, np.nan, 0.1]}
    )
    found = regrets(frame, {"a": "min", "b": "max"})
    np.testing.assert_allclose(found[:3], [0.0, 1.0, 1.0])
    # The median of .9, .8, .1 and one that did not finish lies half way between .8 and .1.
    np.testing.assert_allclose(found[3:], [0.0, 0.1 / 0.45, 1.0, 1.0])


def _atlas(shifts, seed=0):
    """Made-up trainings: two optimizers, a quadratic basin in the rate whose place the problem
    shifts; adamw wins on the first half of the problems, sgd on the others."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, (problem, shift) in enumerate(shifts.items()):
        for who in ("adamw", "sgd"):
            bonus = 0.0 if (number % 2 == 0) == (who == "adamw") else 1.0
            for rate in np.geomspace(1e-5, 10.0, 25):
                value = bonus + (np.log10(rate) - shift) ** 2 + 0.01 * rng.normal()
                rows.append(
                    {"optimizer": who, "problem": problem, "learning_rate": rate,
                     "schedule": SCHEDULE_FAMILIES[2], "warmup": 0.05, "weight_decay": 0.01,
                     "value": value}
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_a_list_is_learned_that_serves_problems_it_has_not_seen():
    shifts = {f"p{i}": -2.0 + 0.1 * (i % 3) for i in range(8)}
    frame = _atlas(shifts)
    learned = learn(frame, dict.fromkeys(shifts, "min"), length=6)
    assert not learned.relative
    assert {one.optimizer for one in learned.rows[:2]} == {"adamw", "sgd"}
    for one in learned.rows[:2]:
        assert -2.4 < np.log10(one.absolute) < -1.5
        assert one.relative is None
        assert one.numbers == {"weight_decay": 0.01}
        assert row(one.as_json()) == one
    assert np.all(np.diff(learned.curve) <= 1e-12)
    assert learned.left_out[-1] < 0.1
    with pytest.raises(ValueError, match="columns"):
        learn(frame.drop(columns="warmup"), {})


def test_rates_are_relative_where_that_carries_over_better():
    shifts = {f"p{i}": -4.0 + 0.5 * i for i in range(8)}
    frame = _atlas(shifts)
    suggestions = {(p, who): 10 ** (s + 0.3) for p, s in shifts.items() for who in ("adamw", "sgd")}
    modes = dict.fromkeys(shifts, "min")
    learned = learn(frame, modes, suggestions, length=4)
    assert learned.relative
    for one in learned.rows[:2]:
        assert one.relative == pytest.approx(10**-0.3, rel=0.6)
    assert learned.left_out[1] < learn(frame, modes, length=4).left_out[1]
    # Suggestions that say nothing are not followed.
    rng = np.random.default_rng(3)
    noise = {key: 10 ** rng.uniform(-5, 1) for key in suggestions}
    fixed = {f"p{i}": -2.0 for i in range(8)}
    assert not learn(_atlas(fixed), modes, noise, length=4).relative
