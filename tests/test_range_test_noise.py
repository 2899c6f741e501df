"""What is read off a curve is more than its noise: simulated curves whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from lropt_jax import RangeTest
from lropt_jax.range_tests.noise import contrast, needed, scatter

RATES = np.geomspace(1e-7, 10.0, 100)
X = np.log10(RATES)
NOISES = {
    "normal": lambda random, size: random.normal(size=size),
    "uniform": lambda random, size: random.uniform(-1, 1, size=size),
    "squares of a batch": lambda random, size: random.chisquare(16, size=size) / 16,
    "squares": lambda random, size: random.exponential(size=size),
    "heavy tails": lambda random, size: random.standard_t(4, size=size),
}


def made(losses, rates=RATES):
    return RangeTest(rates, losses, seeds=list(range(len(losses))))


def answers(test):
    return {rule: found for rule, found in test.suggestions.items() if found is not None}


@pytest.mark.parametrize("offset", [0.0, -1.0, 2.0])
@pytest.mark.parametrize("noise", NOISES)
def test_noise_alone_neither_falls_nor_diverges(noise, offset):
    random = np.random.default_rng(1)
    wrong = 0
    for _ in range(10):
        losses = offset + NOISES[noise](random, (8, 100))
        test = made(losses - losses.mean() if offset == 0 else losses)
        assert (test.diverged_at < 0).all()
        wrong += bool(answers(test))
    assert wrong <= 1


@pytest.mark.parametrize("noise", NOISES)
def test_noise_that_ends_in_a_rise_has_nothing_to_suggest(noise):
    """A task with nothing to learn: level, then rising, more and more noisily."""
    random = np.random.default_rng(2)
    height = 1 + np.exp(3 * (X + 0.5))
    wrong = 0
    for _ in range(15):
        test = made(height * (1 + 0.2 * NOISES[noise](random, (8, 100))))
        wrong += bool(answers(test))
        reason = test.reasons["knee"]
        assert answers(test) or "rises" in reason
        assert "start lower" not in str(reason)  # its beginning is level
    assert wrong <= 1


@pytest.mark.parametrize("seeds", [1, 3, 8])
def test_a_contrast_of_noise_is_seldom_more_than_needed(seeds):
    random = np.random.default_rng(3)
    for noise in ("normal", "squares of a batch"):
        found = []
        for losses in NOISES[noise](random, (300, seeds, 60)):
            smooth = np.convolve(losses.mean(axis=0), np.ones(5) / 5, "valid")
            found.append(contrast(losses, int(smooth.argmin()) + 2).errors)
        assert np.mean(np.array(found) > needed(seeds)) < 0.02


def test_a_contrast_compares_each_seed_with_itself():
    """Seeds at levels far apart, each falling by as much as one deviation of its noise."""
    random = np.random.default_rng(4)
    losses = random.normal(size=(8, 80)) + 100 * np.arange(8)[:, None]
    assert contrast(losses, 70).errors < needed(8)
    losses[:, 60:] -= 1
    assert contrast(losses, 70).errors > needed(8)
    assert contrast(losses, 70).difference == pytest.approx(1, abs=0.3)
    assert contrast(-losses, 70, rising=True).difference == contrast(losses, 70).difference
    # Most seeds must agree, not only the mean.
    losses[1:, 60:] += 1
    losses[0, 60:] -= 100
    assert contrast(losses, 70).errors < needed(8)


def test_the_scatter_is_the_noises_deviation_whatever_the_slope():
    random = np.random.default_rng(5)
    deviation = np.linspace(0.1, 1.0, 100)
    losses = deviation * random.normal(size=(3000, 100)) - 3.0 * np.arange(100)
    mask = np.ones(losses.shape, bool)
    found = scatter(losses, mask).mean(axis=0)
    np.testing.assert_allclose(found[15:85], deviation[15:85], rtol=0.1)
    spiked = losses.copy()
    spiked[:, 50] = 1e9
    np.testing.assert_allclose(scatter(spiked, mask).mean(axis=0)[20:80], found[20:80], rtol=0.3)


@pytest.mark.parametrize("offset", [-1.0, -0.5, 0.0, 1.0, 1000.0])
def test_losses_around_zero_that_only_fall_do_not_diverge(offset):
    random = np.random.default_rng(6)
    for _ in range(10):
        fall = -1 / (1 + np.exp(-(X + 2) * 3))
        test = made(offset + fall + 0.05 * random.normal(size=(8, 100)))
        assert (test.diverged_at < 0).all()
        assert abs(np.log10(test.suggestions["steepest"].value) + 2) < 0.5
        assert "extend" in test.reasons["knee"]


@pytest.mark.parametrize("seeds", [1, 8])
def test_a_curve_that_steepens_to_the_end_has_one_answer_with_noise_and_without(seeds):
    """Lightning-AI/pytorch-lightning#21141: suggestions that jump as soon as there is noise."""
    rates, place = np.geomspace(1e-8, 1.0, 100), np.linspace(-50, 50, 100)
    curve = (-(place**2) - 30 * place + 4000) / 1000
    clean = made(curve[None], rates)
    true = clean.suggestions["steepest"].value
    assert 0.5 < true <= 1.0
    random = np.random.default_rng(7)
    for _ in range(200 if seeds == 1 else 15):
        test = made(curve + random.uniform(-0.1, 0.1, (seeds, 100)), rates)
        assert true / 2 < test.suggestions["steepest"].value < 2 * true
        assert set(answers(test)) == set(answers(clean))


@pytest.mark.parametrize("seeds", [3, 8])
def test_a_noisy_fall_with_few_seeds_has_a_suggestion(seeds):
    """From 40 to 5 with batches that scatter by a quarter of the loss, then divergence."""
    random = np.random.default_rng(8)
    curve = 5 + 35 / (1 + np.exp((X + 1.3) * 5)) + np.exp(8 * (X - 0.3))
    for _ in range(12):
        losses = curve * random.chisquare(32, size=(seeds, 100)) / 32
        test = made(losses)
        assert -1.7 < np.log10(test.suggestion) < -0.2
        for found in answers(test).values():
            assert found.value <= RATES[np.nanargmin(test.median)]


def test_nothing_is_suggested_past_the_lowest_of_alike_minima():
    """A second trough that noise alone makes the lower one."""
    random = np.random.default_rng(9)
    curve = 3 - 2 / (1 + np.exp(-(X + 2) / 0.15)) + 2 * np.exp(-(((X + 0.5) / 0.3) ** 2))
    curve += np.exp(6 * (X - 0.5))  # lowest at 10^-1.5 and, alike, around 1
    for _ in range(12):
        test = made(curve + 0.05 * random.normal(size=(8, 100)))
        for rule, found in answers(test).items():
            assert np.log10(found.value) < -1.2, rule


def test_steepest_lies_in_the_descent_however_noisy_the_plateau():
    """Noise in proportion to the loss: slopes of the plateau's noise exceed the descent's."""
    random = np.random.default_rng(10)
    curve = 1 + 9 / (1 + np.exp((X + 2) / 0.2)) + np.exp(6 * X)
    for _ in range(12):
        test = made(curve * (1 + 0.4 * random.normal(size=(4, 100))))
        assert abs(np.log10(test.suggestions["steepest"].value) + 2) < 0.8


def test_a_rise_from_the_first_rungs_and_one_after_a_level_stretch_are_told_apart():
    random = np.random.default_rng(11)
    noise = 0.05 * random.normal(size=(8, 100))
    rising = made(1 + 0.2 * (X + 7) + noise)
    late = made(1 + np.exp(3 * (X - 0.3)) + noise)
    assert "start lower" in rising.reasons["knee"]
    assert "start lower" not in late.reasons["knee"]
    assert "not more than chance" in late.reasons["knee"]
    flat = made(1 + noise)
    assert "flat" in flat.reasons["knee"]


def test_a_rise_with_spikes_is_seen_and_a_lane_that_ends_high_has_diverged():
    """Momentum at high rates: all seeds end above their beginning, two of them after explosions
    from which they come down, but not back."""
    random = np.random.default_rng(12)
    curve = 2.3 - 1.5 / (1 + np.exp((-1 - X) * 6)) + 20 / (1 + np.exp((0.2 - X) * 4))
    for _ in range(4):
        losses = curve * random.chisquare(32, size=(8, 100)) / 32
        losses[:2, 92:97] *= 60
        test = made(losses)
        assert "knee" in answers(test)
        assert (test.diverged_at[:2] > 80).all()


def test_the_last_rung_alone_excuses_none_before_it():
    """Given more room than others, it must not count as a return."""
    random = np.random.default_rng(13)
    losses = 1 + 0.3 * random.normal(size=(50, 100))
    losses[:, 80:] += 6
    found = made(losses).diverged_at
    assert (abs(found - 80) <= 2).all()
