"""A tuning goes on where it was interrupted, to the same bits, and ends when its time is over."""

from __future__ import annotations

import contextlib
import json
import math

import numpy as np
import pandas as pd
import pytest

from lropt_jax import adam, tune
from lropt_jax.tuning import budget
from lropt_jax.tuning.budget import Meter, OutOfTime, read_budget
from tests.problems import regression

ARGUMENTS = {"steps": 40, "budget": 8, "seeds": 2, "key": 3}


class Dying:
    """A progress bar that ends the work after some segments."""

    def __init__(self, segments=math.inf, error=KeyboardInterrupt):
        self.segments, self.error, self.model_steps, self.seen = segments, error, 0, []

    def advance(self, model_steps):
        self.model_steps += model_steps
        self.segments -= 1
        if self.segments < 0:
            raise self.error

    def skip(self, model_steps):
        pass

    def describe(self, what):
        self.seen.append(what)

    def note(self, what):
        self.seen.append(what)


class Killed(BaseException):
    """What nothing catches."""


@pytest.fixture(scope="module")
def whole():
    return tune(regression(), **ARGUMENTS, baseline=adam(1e-3), progress=False)


def _same(one, other):
    pd.testing.assert_frame_equal(one.table(), other.table(), check_exact=True)
    assert one.best == other.best
    assert str(one.recommendation) == str(other.recommendation)
    assert one.model_steps == other.model_steps
    for mine, theirs in zip(one.finalists, other.finalists, strict=True):
        np.testing.assert_array_equal(mine.values, theirs.values)


@pytest.mark.parametrize("segments", [1, 14, 24])
def test_killed_it_goes_on_to_the_same_bits(whole, tmp_path, segments):
    again = {**ARGUMENTS, "baseline": adam(1e-3), "directory": tmp_path / "kept"}
    with pytest.raises(Killed):
        tune(regression(), **again, progress=Dying(segments, Killed))
    rest = Dying()
    result = tune(regression(), **again, progress=rest)
    _same(result, whole)
    assert rest.model_steps < whole.model_steps  # something was kept
    back = Dying()
    _same(tune(regression(), **again, progress=back), whole)  # read back
    assert back.model_steps == 0


def test_interrupted_it_gives_the_best_so_far(whole, tmp_path):
    again = {**ARGUMENTS, "baseline": adam(1e-3), "directory": tmp_path / "kept"}
    result = tune(regression(), **again, progress=Dying(24))
    assert result.stopped == "interrupted"
    assert 1 <= len(result.tried) < len(whole.tried)
    assert result.code
    assert "on the one seed that it was tried on (interrupted)" in result.recommendation
    model = result.trained()
    assert model.history["valid_accuracy"][-1] == pytest.approx(
        result.board.ranked()[0].value, abs=1e-7
    )
    _same(tune(regression(), **again, progress=Dying()), whole)
    nothing = tune(regression(), **ARGUMENTS, progress=Dying(0))
    assert nothing.recommendation.startswith("Nothing was trained to its end (interrupted)")
    assert nothing.code


def test_another_call_of_a_directory_is_refused(tmp_path):
    folder = tmp_path / "kept"
    quick = {"steps": 20, "budget": 2, "seeds": 2, "progress": False, "directory": folder}
    tune(regression(), **quick)
    for name, value in {"budget": 3, "steps": 21, "key": 5, "memory": 1}.items():
        with pytest.raises(ValueError, match=rf"holds a tuning with another .*{name} \("):
            tune(regression(), **{**quick, name: value})
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "file").touch()
    with pytest.raises(ValueError, match="holds something else than a tuning"):
        tune(regression(), **{**quick, "directory": tmp_path / "else"})
    (folder / "tune.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        tune(regression(), **quick)


def test_the_best_so_far_is_shown(whole):
    bar = Dying()
    tune(regression(), **{**ARGUMENTS, "budget": 6}, progress=bar)
    assert any(words.startswith("best 0.") for words in bar.seen)
    assert "adamw: from the list" in bar.seen


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (16, (16, None, None)),
        ("16", (16, None, None)),
        (np.int64(3), (3, None, None)),
        ("5min", (None, None, 300.0)),
        ("90 s", (None, None, 90.0)),
        ("1.5h", (None, None, 5400.0)),
        ("2e5 steps", (None, 200_000, None)),
        ("2000 model-steps", (None, 2000, None)),
    ],
)
def test_what_a_budget_is(given, expected):
    found = read_budget(given)
    assert (found.trainings, found.model_steps, found.seconds) == expected


class Clock:
    """A clock that goes on by a fixed amount each time that it is looked at."""

    def __init__(self, tick):
        self.now, self.tick = 0.0, tick

    def monotonic(self):
        self.now += self.tick
        return self.now


def test_the_meter_ends_what_takes_too_long(monkeypatch):
    monkeypatch.setattr(budget, "time", Clock(1.0))
    meter = Meter(read_budget("20s"), Dying(), 100, 0.0)
    meter.until(5.0)
    advances = 0
    with contextlib.suppress(OutOfTime):
        while True:
            meter.advance(1)
            advances += 1
    assert advances >= 5
    assert 15 < meter.seconds < 20
    Meter(read_budget(20), Dying(), 100, 0.0).advance(1)


def test_a_time_budget_ends_with_an_answer(monkeypatch, tmp_path):
    clock = Clock(0.02)
    monkeypatch.setattr("lropt_jax.tuning.trying.LONGEST", 12)
    monkeypatch.setattr(budget, "time", clock)
    monkeypatch.setattr("lropt_jax.tuning.protocol.time", clock)
    result = tune(regression(), budget="12s", seeds=2, progress=False, directory=tmp_path / "kept")
    assert result.seconds <= 12.5
    assert 1 <= result.steps <= 20 * regression().steps_per_epoch
    assert result.code
    assert json.loads((tmp_path / "kept" / "tune.json").read_text())["facts"]["finished"]
    back = tune(regression(), budget="12s", seeds=2, progress=False, directory=tmp_path / "kept")
    assert back.best == result.best
    assert (
        str(back.recommendation).partition(";")[0] == str(result.recommendation).partition(";")[0]
    )


def test_with_no_time_at_all_it_says_where_it_would_have_begun():
    result = tune(regression(), budget="0.001s", steps=2000, seeds=2, progress=False)
    assert "give a larger budget" in result.recommendation
    assert result.code.startswith("lropt_jax.")
    assert result.finalists == []
