"""The best of n: against all subsets, exact fractions, and repeated searches."""

from __future__ import annotations

import fractions
import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lropt_jax import expected_best
from lropt_jax.sweeps.results.best_of_n import coverage, order_statistics, read_quantiles

INF, NAN = math.inf, math.nan
COUNT = 48
DISTRIBUTIONS = {
    "normal": lambda random, shape: random.normal(size=shape),
    "heavy tails": lambda random, shape: random.standard_cauchy(size=shape),
    "log-normal": lambda random, shape: random.lognormal(sigma=2, size=shape),
    "two modes": lambda random, shape: np.where(
        random.random(shape) < 0.1, random.normal(size=shape), 20 + random.normal(size=shape)
    ),
    "rounded, one in ten diverged": lambda random, shape: np.where(
        random.random(shape) < 0.1, INF, np.round(random.beta(2, 5, size=shape), 1)
    ),
}


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_mean_is_that_of_all_subsets(mode):
    values = [3.0, 1.0, 2.0, 2.0, 7.0, -1.0]
    best = min if mode == "min" else max
    mean, _, _ = expected_best(values, mode=mode)
    for n in range(1, 7):
        subsets = [best(subset) for subset in itertools.combinations(values, n)]
        assert mean[n - 1] == pytest.approx(np.mean(subsets), rel=1e-12)


def test_the_mean_equals_exact_fractions_where_binomials_are_huge():
    count = 400
    values = np.arange(1.0, count + 1)  # their best of n is (N + 1) / (n + 1), as is well known
    mean, _, _ = expected_best(values)
    exact = [float(fractions.Fraction(count + 1, n + 1)) for n in range(1, count + 1)]
    np.testing.assert_allclose(mean, exact, rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "mode"), [*((name, "min") for name in DISTRIBUTIONS), ("log-normal", "max")]
)
def test_the_whole_band_covers_in_95_of_100_searches_and_is_no_wider_than_dkw(name, mode):
    random = np.random.default_rng(sum(map(ord, name + mode)))
    draw = DISTRIBUTIONS[name]
    sign = 1 if mode == "min" else -1
    population = np.sort(draw(random, 500_000))
    # The median best of n: half of all searches of n find something at least as good.
    quantiles = 1 - 0.5 ** (1 / np.arange(1, COUNT + 1))
    truth = population[np.ceil(quantiles * len(population)).astype(int) - 1]
    reach = math.sqrt(math.log(2 / 0.05) / (2 * COUNT))
    held, searches = 0, 2000
    for values in draw(random, (searches, COUNT)):
        _, low, high = expected_best(sign * values, mode=mode)
        low, high = (low, high) if mode == "min" else (-high, -low)
        held += bool(((low <= truth) & (truth <= high)).all())
        ordered = np.concatenate([[-INF], np.sort(values), [INF]])
        least = np.maximum(np.ceil(COUNT * (quantiles - reach)), 0).astype(int)
        most = np.minimum(np.floor(COUNT * (quantiles + reach)), COUNT).astype(int)
        assert (low >= ordered[least]).all()
        assert (high <= ordered[most + 1]).all()
    assert held / searches >= 0.935
    if "rounded" not in name:  # ties can only make it safer
        assert held / searches <= 0.97


def test_the_band_is_half_as_wide_as_dkw_in_counts():
    least, most = order_statistics(COUNT, COUNT, 0.95)
    quantiles = read_quantiles(COUNT)
    reach = COUNT * math.sqrt(math.log(2 / 0.05) / (2 * COUNT))
    wide = np.minimum(quantiles * COUNT + reach, COUNT) - np.maximum(quantiles * COUNT - reach, 0)
    assert ((most - least) / wide).mean() < 0.55


def test_its_coverage_is_computed_exactly():
    # One quantile: a binomial. Two: by hand over all ways to fall into three intervals.
    one = coverage(10, np.array([0.3]), np.array([2]), np.array([5]))
    assert one == pytest.approx(stats.binom.cdf(5, 10, 0.3) - stats.binom.cdf(1, 10, 0.3))
    two = coverage(6, np.array([0.5, 0.2]), np.array([2, 0]), np.array([5, 1]))
    by_hand = sum(
        stats.multinomial.pmf([a, b, 6 - a - b], 6, [0.2, 0.3, 0.5])
        for a in range(2)
        for b in range(7 - a)
        if 2 <= a + b <= 5
    )
    assert two == pytest.approx(by_hand)
    for count, trials in ((3, 3), (20, 20), (48, 10), (300, 300)):
        band = order_statistics(count, trials, 0.9)
        assert coverage(count, read_quantiles(trials), *band) >= 0.9


def test_fewer_trials_give_a_band_that_is_no_wider():
    values = np.random.default_rng(0).normal(size=COUNT)
    mean, low, high = expected_best(values)
    few_mean, few_low, few_high = expected_best(values, trials=4)
    np.testing.assert_allclose(few_mean, mean[:4])
    assert (few_low >= low[:4]).all()
    assert (few_high <= high[:4]).all()
    sure = expected_best(values, confidence=0.999)
    assert (sure[1] <= low).all()
    assert (sure[2] >= high).all()


def test_ends_that_the_data_do_not_bound_are_the_bounds():
    values = [0.5, 0.6, 0.7, 0.9]
    _, low, high = expected_best(values, mode="max", bounds=(0, 1))
    assert high[-1] == 1
    assert low[0] == 0
    _, low, high = expected_best(values, bounds=(0, INF))
    assert low[-1] == 0
    assert high[0] == INF
    assert expected_best(values)[1][-1] == -INF


def test_what_diverged_is_the_worst():
    clean = expected_best([1.0, 2.0, 3.0, 9.0], bounds=(0, 9))
    for lost in (NAN, INF, -INF):
        for given, expected in zip(
            expected_best([1.0, lost, 2.0, 3.0], bounds=(0, 9)), clean, strict=True
        ):
            np.testing.assert_array_equal(given, expected)
    mean, _, high = expected_best([1.0, NAN, 2.0, 3.0])  # unbounded: it has no finite mean
    assert mean[0] == pytest.approx((1 + 2 + 3 + 3) / 4)
    assert high[0] == INF
    mean, low, _ = expected_best([NAN, 0.5, 0.7, 0.9], mode="max", bounds=(0, 1))
    assert mean[0] == pytest.approx((0 + 0.5 + 0.7 + 0.9) / 4)
    assert low[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": []}, "values must be one-dimensional with a finite value"),
        ({"values": [NAN, INF]}, "with a finite value"),
        ({"values": [[1.0, 2.0]]}, "values must be one-dimensional"),
        ({"trials": 4}, "trials must be at most the 3 values, got 4"),
        ({"trials": 0}, "trials must be a whole number >= 1"),
        ({"mode": "best"}, "mode must be 'min' or 'max', got 'best'"),
        ({"confidence": 95}, r"confidence must be in \(0, 1\), got 95"),
        ({"bounds": (1, 0)}, "bounds must be"),
        ({"bounds": (0, 2)}, r"values must lie in bounds=\(0, 2\), got some from 1.0 to 3.0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        expected_best(**{"values": [1.0, 2.0, 3.0], **arguments})
