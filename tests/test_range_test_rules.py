"""The rules, on curves whose answer is known, and on curves that have none."""

from __future__ import annotations

import numpy as np
import pytest

from lropt_jax import RangeTest
from lropt_jax.range_tests import smoothing
from lropt_jax.range_tests.divergence import diverged_at

RATES = np.geomspace(1e-7, 10.0, 100)
X = np.log10(RATES)


def made(curve, noise=0.0, seeds=8, rates=RATES, **settings):
    """A range test of `curve` (steps,) or (seeds, steps), with batch noise."""
    scatter = np.random.default_rng(0).normal(size=(seeds, len(rates)))
    return RangeTest(rates, curve + noise * scatter, seeds=list(range(seeds)), **settings)


def logistic_fall(middle=-2.0, height=2.0, width=0.25, rise_at=0.0):
    """Falls by `height` around 10^middle, rises steeply after 10^rise_at."""
    fall = 3.0 - height / (1 + np.exp(-(X - middle) / width))
    return fall + np.exp(5 * (X - rise_at))


def test_steepest_is_the_logistic_curves_inflection():
    for noise in (0.0, 0.05):
        found = made(logistic_fall(middle=-2), noise).suggestions["steepest"]
        assert abs(np.log10(found.value) + 2) < 0.12
        assert found.low <= found.value <= found.high


def test_valley_is_the_middle_of_the_descent_between_the_bounds():
    test = made(logistic_fall(middle=-2.5), 0.02)
    base, peak = test.bounds
    # A logistic curve has fallen by 10% and by 90% at +-ln 9 widths from its middle.
    assert np.log10(base) == pytest.approx(-2.5 - 0.25 * np.log(9), abs=0.2)
    assert np.log10(peak) == pytest.approx(-2.5 + 0.25 * np.log(9), abs=0.2)
    assert test.suggestions["valley"].value == pytest.approx(np.sqrt(base * peak))
    assert test.suggestions["knee"].value == peak


def test_minimum_is_a_tenth_of_the_lowest_rate():
    test = made(2.0 + 0.5 * (X + 1) ** 2, smoothing=0.02)  # lowest at 0.1
    assert np.log10(test.suggestions["minimum"].value) == pytest.approx(-2, abs=0.05)


def test_slide_ends_where_slopes_a_decade_apart_agree():
    # Slopes of the symmetrical fall agree where the decade straddles its middle.
    found = made(logistic_fall(middle=-2, width=0.4)).suggestions["slide"]
    assert np.log10(found.value) == pytest.approx(-2.5, abs=0.15)


def test_slopes_are_taken_against_the_log_of_the_rate():
    """On a linear ladder, where slopes against the rate would favour the ladder's beginning."""
    rates = np.linspace(0.02, 4.0, 200)
    curve = 3 - 2 / (1 + np.exp(-(np.log(rates) - np.log(0.8)) / 0.3))
    curve = curve + np.maximum(0, np.log(rates / 2.5)) * 5
    against_rate = rates[np.argmin(np.gradient(curve, rates))]
    test = made(curve, rates=rates, smoothing=0.01)
    assert test.suggestions["steepest"].value == pytest.approx(0.8, rel=0.06)
    assert against_rate < 0.75


@pytest.mark.parametrize("seeds", [1, 8])
@pytest.mark.parametrize("random", range(5))
def test_flat_curves_have_no_suggestion(seeds, random):
    curve = 2.3 + 0.2 * np.random.default_rng(random).normal(size=(seeds, 100))
    test = made(curve, seeds=seeds)
    assert set(test.suggestions.values()) == {None}
    assert test.suggestion is None
    assert test.bounds is None
    assert all("flat" in reason or "rises" in reason for reason in test.reasons.values())


def test_an_exactly_constant_curve_is_flat():
    test = made(np.full(100, 2.3))
    assert all("flat" in reason for reason in test.reasons.values())


@pytest.mark.parametrize("sign", [1, -1])
def test_rising_curves_have_no_suggestion(sign):
    test = made(sign * 2.0 + (X + 7) * 0.2, 0.02)
    assert set(test.suggestions.values()) == {None}
    assert all("start lower" in reason for reason in test.reasons.values())


def test_too_few_rungs_have_no_suggestion():
    rates = np.geomspace(1e-3, 1, 9)
    test = made(np.linspace(2, 1, 9), rates=rates)
    assert all("too few rungs: 9" in reason for reason in test.reasons.values())


@pytest.mark.parametrize(("split", "words"), [("train", "before any"), ("valid", "after the")])
def test_a_loss_that_is_never_finite_says_since_when(split, words):
    """A lower rate would not help: at the first rung of "train" no update has been made."""
    test = made(np.full(100, np.nan), split=split)
    assert (test.diverged_at == 0).all()
    assert set(test.suggestions.values()) == {None}
    assert all(f"not finite {words}" in reason for reason in test.reasons.values())
    assert "start lower" not in str(test)


def test_the_first_update_that_is_not_finite_is_a_divergence():
    curve = np.r_[2.0, np.full(99, np.nan)]
    test = made(curve)
    assert (test.diverged_at == 1).all()
    assert all("too few rungs: 1 before training diverged" in r for r in test.reasons.values())


def test_early_divergence_leaves_too_few_rungs():
    curve = np.where(np.arange(100) < 6, 2.0 - 0.1 * np.arange(100), np.nan)
    assert all("before training diverged" in r for r in made(curve).reasons.values())


def test_a_minimum_at_the_end_is_censored():
    """Where the loss would be lowest is unknown; where it fell fastest so far is not."""
    still_falling = 3 - 2 / (1 + np.exp(-(X - 1.5) / 0.5))
    test = made(still_falling, 0.01)
    assert 5 < test.suggestions["steepest"].value < 10
    for rule in ("valley", "minimum", "slide", "knee"):
        assert test.suggestions[rule] is None
        assert "extend" in test.reasons[rule]


def test_levelled_out_at_the_end_leaves_only_the_steepest():
    """The fall is over, but no rise is seen: where it would be lowest is unknown."""
    test = made(3 - 2 / (1 + np.exp(-(X + 2) / 0.25)), 0.02)
    assert test.suggestions["steepest"] is not None
    for rule in ("valley", "minimum", "slide", "knee"):
        assert test.suggestions[rule] is None
        assert "extend" in test.reasons[rule]


def test_a_curve_that_falls_from_the_first_rung_on_says_start_lower():
    test = made(2.0 - (X + 7) * 0.3 + 20.0 * np.maximum(0, X + 2), 0.01)
    assert test.suggestions["valley"] is None
    assert "start lower" in test.reasons["valley"]


@pytest.mark.parametrize("offset", [-1000.0, -3.0, -1.9, 0.0, 50.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_suggestions_do_not_depend_on_the_losss_origin_or_scale(offset, scale):
    """Negative losses and those around zero are as good as others."""
    curve = logistic_fall() + np.where(X > 0.5, 1e6, 0)  # an explosion at any scale
    plain, moved = made(curve, 0.02), made(scale * (curve + offset), scale * 0.02)
    for rule, found in plain.suggestions.items():
        assert np.log10(moved.suggestions[rule].value) == pytest.approx(
            np.log10(found.value), abs=0.1
        )


@pytest.mark.parametrize("offset", [0.0, -1.0, -5.0])
def test_divergence_is_sign_safe_and_says_where(offset):
    losses = np.r_[np.full(50, 1.0), np.full(20, 0.5), np.full(30, 100.0)] + offset
    assert diverged_at(losses, 4.0) == 70


def test_divergence_by_the_formula():
    best = np.r_[np.full(10, 2.5), np.full(10, 2.0)]
    for level, expected in ((7.9, -1), (8.1, 20)):
        assert diverged_at(np.r_[best, np.full(10, level)], 4.0) == expected
    negative = np.r_[np.full(10, -1.0), np.full(10, -2.0)]  # -2 + 3 * 2 = 4
    for level, expected in ((3.9, -1), (4.1, 20)):
        assert diverged_at(np.r_[negative, np.full(10, level)], 4.0) == expected


def test_non_finite_losses_diverge_at_once_and_a_single_bad_batch_does_not():
    losses = np.full((3, 50), 1.0)
    losses[0, 30], losses[1, 30], losses[2, 30:] = np.nan, 1e3, np.inf
    assert diverged_at(losses, 4.0).tolist() == [30, -1, 30]


def test_an_explosion_at_the_last_rung_is_seen():
    losses = np.full(50, 1.0)
    losses[-1] = 100.0
    assert diverged_at(losses, 4.0) == 49


def test_one_bad_batch_at_the_last_rung_is_no_explosion():
    losses = 1.0 + 0.1 * np.random.default_rng(0).normal(size=(200, 50))
    losses[:, -1] += 0.5 * np.arange(200) / 200
    assert (diverged_at(losses - 1.0, 4.0) == -1).all()


def test_the_rungs_before_a_loss_that_is_not_finite_count():
    inf, nan = np.inf, np.nan
    for curve, expected in [
        ([1, nan, 1, 1, 1, 1, 1], 1),
        ([1, 2, nan, 1, 1, 1, 1], 2),
        ([1, 1, 0.9, inf, 1, 1, 1], 3),
        ([1, 1, 1, 1, 1e30, inf, inf], 4),  # the explosion before is part of the divergence
        ([nan] * 7, 0),
    ]:
        assert diverged_at(np.array(curve, float), 4.0) == expected, curve


def test_a_lane_that_returns_has_not_diverged():
    """Waves of Adam at high rates, and a spike of a few batches."""
    wave = np.r_[np.full(20, 1.0), np.full(20, 10.0), np.full(20, 1.5), np.full(20, 9.0)]
    assert diverged_at(wave, 4.0) == 60
    assert diverged_at(wave[:60], 4.0) == -1


def test_a_loss_near_zero_may_wander_without_diverging():
    """Where the best loss is 1e-9, four times that is no explosion."""
    losses = np.r_[np.linspace(1, 1e-9, 50), np.full(50, 1e-3)]
    assert diverged_at(losses, 4.0) == -1


def test_what_comes_after_the_divergence_changes_nothing():
    curve = logistic_fall()
    curve[85:] = 1e9
    noisy = curve + 0.02 * np.random.default_rng(1).normal(size=(8, 100))
    other = noisy.copy()
    other[:, 85:] = np.nan
    first, second = made(noisy), made(other)
    np.testing.assert_array_equal(first.diverged_at, 85)
    np.testing.assert_array_equal(first.smoothed, second.smoothed)
    assert first.suggestions == second.suggestions


def test_smoothing_is_two_sided_and_exact_on_lines():
    line = 3.0 - 0.01 * np.arange(100)
    values, slopes = smoothing.local_lines(line, np.ones(100, bool), 3.0)
    np.testing.assert_allclose(values, line, atol=1e-12)
    np.testing.assert_allclose(slopes, -0.01, atol=1e-12)
    # A symmetrical bump stays where it is: no lag.
    bump = np.exp(-0.5 * ((np.arange(101) - 50) / 5) ** 2)
    values, _ = smoothing.local_lines(bump, np.ones(101, bool), 3.0)
    np.testing.assert_allclose(values, values[::-1], atol=1e-12)
    assert values.argmax() == 50


def test_no_smoothing_leaves_the_losses():
    losses = np.random.default_rng(0).normal(size=(2, 30))
    values, _ = smoothing.local_lines(losses, np.ones((2, 30), bool), 0.0)
    np.testing.assert_array_equal(values, losses)


def test_standard_errors_are_the_standard_error_of_the_smoothed_curve():
    losses = 0.3 * np.random.default_rng(0).normal(size=(4000, 100))
    mask = np.arange(100) < np.array([[100], [60]]).repeat(2000, axis=0)
    values, _ = smoothing.local_lines(losses, mask, 3.0)
    errors = smoothing.standard_errors(losses, mask, 3.0)
    for half, rungs in ((slice(2000), 100), (slice(2000, 4000), 60)):
        # The line at the very end is held between the losses nearby, which lowers its error.
        inside = slice(1, rungs - 1)
        spread = values[half, inside].std(axis=0)
        np.testing.assert_allclose(errors[half, inside].mean(axis=0), spread, rtol=0.1)


def test_flat_noise_is_taken_for_a_curve_less_than_once_in_a_hundred():
    losses = 2.3 + 0.3 * np.random.default_rng(5).normal(size=(400, 100))
    wrong = 0
    for lane in losses:
        test = RangeTest(RATES, lane[None], seeds=[0])
        wrong += any(found is not None for found in test.suggestions.values())
    assert wrong < 4


def test_intervals_cover_the_truth():
    """The steepest point of the noiseless curve, in the 95% intervals of eight noisy seeds whose
    descents lie at different rates. Percentile bootstraps of eight are a little too narrow."""
    random = np.random.default_rng(7)
    trials, hits = 60, 0
    for _ in range(trials):
        middles = -2 + 0.15 * random.normal(size=8)
        curves = np.stack([logistic_fall(middle=m) for m in middles])
        curves += 0.1 * random.normal(size=curves.shape)
        found = RangeTest(RATES, curves, seeds=list(range(8))).suggestions["steepest"]
        # Half a rung of tolerance: suggestions lie on rungs.
        hits += np.log10(found.low) - 0.04 <= -2 <= np.log10(found.high) + 0.04
    assert hits >= 0.85 * trials


def test_intervals_grow_with_the_spread_of_the_seeds():
    widths = []
    for spread in (0.05, 0.5):
        middles = -2 + spread * np.linspace(-1, 1, 8)
        curves = np.stack([logistic_fall(middle=m) for m in middles])
        found = made(curves, 0.01).suggestions["valley"]
        widths.append(np.log10(found.high / found.low))
    assert widths[1] > 2 * widths[0]


def test_one_seed_has_no_interval():
    found = made(logistic_fall(), 0.02, seeds=1).suggestions["steepest"]
    assert np.isfinite(found.value)
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_a_few_diverged_seeds_do_not_end_the_pooled_curve():
    losses = logistic_fall() + 0.02 * np.random.default_rng(0).normal(size=(8, 100))
    losses[:3, 60:] = np.nan
    test = RangeTest(RATES, losses, seeds=list(range(8)))
    assert np.isfinite(test.median[:85]).all()
    losses[3, 60:] = np.nan
    half = RangeTest(RATES, losses, seeds=list(range(8)))
    assert np.isnan(half.median[60:]).all()
    assert half.diverged_at.tolist() == [60] * 4 + list(half.diverged_at[4:])
