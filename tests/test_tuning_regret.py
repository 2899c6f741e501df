"""The regret that is left: read off the curve of the best of n, with an interval that holds it."""

from __future__ import annotations

import numpy as np
import pytest

from lropt_jax import expected_best
from lropt_jax.tuning.regret import further_gain, gains, regret


def test_a_gain_is_what_the_curve_of_the_best_of_n_gained():
    values = np.array([0.3, 0.9, 0.5, 0.7, 0.2, 0.8, 0.6, 0.4])
    mean = expected_best(values)[0]
    last, ratio = gains(values, "min")
    assert last == pytest.approx(mean[3] - mean[7])
    assert ratio == pytest.approx((mean[3] - mean[7]) / (mean[1] - mean[3]))
    assert further_gain(values, "min", 1) == pytest.approx(last * ratio)
    assert further_gain(values, "min", 2) == pytest.approx(last * (ratio + ratio**2))
    assert gains(1 - values, "max") == pytest.approx((last, ratio))


def test_where_all_are_alike_nothing_is_left_and_two_that_failed_say_nothing():
    left, doubled = regret([0.5] * 8, "max")
    assert (left.value, left.low, left.high) == (0, 0, 0)
    assert doubled.value == 0
    for values in ([], [np.nan, np.nan], [1.0]):
        left, doubled = regret(values, "min")
        assert np.isnan(left.value)
        assert np.isnan(doubled.value)
    assert regret([0.5] * 8, "max", half_width=0.1)[0].high == pytest.approx(0.1)


@pytest.mark.parametrize("dimensions", [1, 2, 4])
def test_the_interval_holds_the_regret_of_made_up_searches(dimensions, monkeypatch):
    monkeypatch.setattr("lropt_jax.tuning.regret.RESAMPLES", 100)
    rng = np.random.default_rng(dimensions)
    held = []
    for _ in range(60):
        centre, steepness = rng.uniform(-0.6, 0.6, dimensions), 10 ** rng.uniform(-1, 0, dimensions)

        def losses(count, centre=centre, steepness=steepness):
            points = rng.uniform(-1, 1, (count, dimensions))
            return (steepness * (points - centre) ** 2).sum(axis=1)

        true = losses(16)
        noise = 0.05 * np.median(true)
        seen = true + noise * rng.normal(size=16)
        # What was chosen, against the expected best of a search 32 times as long.
        longer = np.mean([losses(32 * 16).min() for _ in range(3)])
        truth = max(0.0, true[seen.argmin()] - longer)
        left, _ = regret(seen, "min", 2.8 * noise / np.sqrt(5))
        held.append(left.low <= truth <= left.high)
    assert np.mean(held) >= 0.9


@pytest.mark.parametrize(
    ("mode", "values", "end"),
    [("max", [0.1, 0.2, 0.3, 0.99], 1.0), ("min", [9.0, 5.0, 3.0, 0.01, np.nan], 0.0)],
)
def test_nothing_is_gained_beyond_the_best_value_there_can_be(mode, values, end):
    room = 0.01
    left, doubled = regret(values, mode, half_width=0.1, end=end)
    assert regret(values, mode)[0].value > 0.1  # without an end
    assert doubled.high <= room + 1e-12
    assert 0 <= left.value <= room + 1e-12
    assert left.high == pytest.approx(room + 0.1)
    assert regret(values, mode, 0.1, end=np.inf) == regret(values, mode, 0.1)
