"""What decides statistical claims: equivalence, one-sided limits, bootstrap, slopes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lropt_jax.comparisons.inference import bootstrap, equality, mean_within, not_worse
from lropt_jax.comparisons.slopes import best_between, slope_of_best
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.tuned import entries, tuned
from tests.problems import regression

NOISE = np.random.default_rng(0).normal(size=20)
NOISE -= NOISE.mean()


def test_the_interval_of_a_mean_is_scipys():
    low, high = stats.ttest_1samp(NOISE + 1, 0).confidence_interval(0.9)
    found = mean_within(np.append(NOISE + 1, np.nan), 0.9)
    assert (found.low, found.high) == pytest.approx((low, high))


@pytest.mark.parametrize("half", [0.5, 0.95, 1.05, 2.0])  # of the 90% interval, in margins
def test_equality_is_two_one_sided_tests(half):
    differences = 0.1 * NOISE
    margin = mean_within(differences, 0.9).high / half
    both = [
        stats.ttest_1samp(differences, -margin, alternative="greater").pvalue,
        stats.ttest_1samp(differences, margin, alternative="less").pvalue,
    ]
    assert (equality(differences, margin) is True) == (max(both) < 0.05)


def test_equality_and_one_sided_limits_have_three_answers():
    assert equality(0.01 * NOISE, 0.1) is True
    assert equality(0.01 * NOISE + 1, 0.1) is False
    assert equality(NOISE, 0.1) is None
    assert not_worse(0.01 * NOISE + 1, 0.1) is True
    assert not_worse(0.01 * NOISE - 1, 0.1) is False
    assert not_worse(NOISE, 0.1) is None
    assert not_worse(0.01 * NOISE + 0.5, -1) is False  # better, but not by as much


def test_the_bootstrap_of_a_mean_is_nearly_students():
    found, exact = bootstrap(lambda i: NOISE[i].mean(), len(NOISE)), mean_within(NOISE)
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.high == pytest.approx(exact.high, rel=0.15)


def test_a_best_value_between_those_of_a_grid_is_found():
    rates = np.geomspace(0.01, 1.0, 5)
    scores = -((np.log(rates) - np.log(0.07)) ** 2)
    assert best_between(rates, scores) == pytest.approx(0.07)
    assert best_between(rates, rates) == rates[-1]  # an edge
    lost = np.where(rates > 0.2, np.nan, rates)
    assert best_between(rates, lost) == pytest.approx(0.1)  # beside what diverged
    assert np.isnan(best_between(rates, np.full(5, np.nan)))


def test_the_slope_of_the_best_value_has_an_interval_that_noise_widens():
    rates, batches = np.geomspace(0.001, 10, 13), np.array([8, 32, 128, 512])
    off = np.log(rates)[None, :, None] - 0.5 * np.log(batches / 64)[:, None, None]
    noise = np.random.default_rng(1).normal(size=(4, 13, 8))
    exact = slope_of_best(batches, rates, -(off**2) + 0 * noise)
    assert (exact.value, exact.low, exact.high) == pytest.approx((0.5, 0.5, 0.5))
    slight, strong = (slope_of_best(batches, rates, -(off**2) + s * noise) for s in (0.1, 1.0))
    assert 0 < slight.high - slight.low < strong.high - strong.low
    assert strong.low < 0.5 < strong.high


def test_contestants_are_tuned_alike_and_paired_on_fresh_seeds(tmp_path):
    task = regression()
    bench = Bench(quick=True, folder=tmp_path)
    found = tuned(
        bench, "a", task, entries(["momentum", "adam"], "cosine", 20), 20, 20, eval_every=10
    )
    assert list(found) == ["momentum", "adam"]
    counts = {row["configurations"] for row in found.values()}
    assert len(counts) == 1
    assert min(counts) >= 7
    for row in found.values():
        assert len(row["test_loss"]) == 5  # a quick run's
        assert set(row["chosen"]) == {"learning_rate"}
        assert np.shape(row["curves"]["valid_loss"]) == (5, len(row["curves"]["steps"]))
    assert bench.key != Bench().key
