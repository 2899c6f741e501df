"""Intervals, tests, sensitivities and cautions, on numbers made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lropt_jax.sweeps.results.cautions import cautions
from lropt_jax.sweeps.results.statistics import (
    lr_sensitivity,
    mean_interval,
    paired_tests,
    steps_to_target,
)

NAN, INF = np.nan, np.inf


def test_the_interval_of_independent_values_is_students():
    values = np.array([1.0, 2.0, 4.0, 4.5, NAN])
    mean, half = mean_interval(values)
    low, high = stats.t.interval(0.95, 3, np.nanmean(values), stats.sem(values[:4]))
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_the_interval_of_repeated_splits_is_wider_by_their_overlap():
    values = np.array([0.71, 0.74, 0.69, 0.72, 0.73])
    _, naive = mean_interval(values)
    _, corrected = mean_interval(values, overlap=0.25)  # a fifth is tested on
    assert corrected / naive == pytest.approx(np.sqrt((1 / 5 + 0.25) / (1 / 5)))


def test_paired_p_values_equal_scipys_and_a_small_difference_is_a_tie():
    random = np.random.default_rng(0)
    a = random.normal(size=10)
    values = {
        "a": a,
        "b": a + 0.01 + 0.001 * random.normal(size=10),
        "c": a + random.normal(size=10),
    }
    tests = {(t.first, t.second): t for t in paired_tests(values, smallest=0.05)}
    assert tests["b", "a"].p_value == pytest.approx(
        3 * stats.ttest_rel(values["b"], a).pvalue, rel=1e-9
    )
    assert tests["b", "a"].significant  # beyond doubt
    assert tests["b", "a"].tie  # and of no matter
    assert not {(t.first, t.second): t for t in paired_tests(values)}["b", "a"].tie
    unsure = next(t for t in tests.values() if {t.first, t.second} == {"a", "c"})
    assert unsure.tie
    assert not unsure.significant


def test_overlap_makes_a_paired_test_harder():
    a = np.array([0.70, 0.72, 0.69, 0.74, 0.71])
    b = a + np.array([0.02, 0.03, 0.01, 0.02, 0.03])
    (naive,), (corrected,) = paired_tests({"a": a, "b": b}), paired_tests({"a": a, "b": b}, 0, 0.25)
    assert naive.p_value < corrected.p_value
    t = np.mean(b - a) / (np.std(b - a, ddof=1) * np.sqrt(1 / 5 + 0.25))
    assert corrected.p_value == pytest.approx(2 * stats.t.sf(t, 4))


def test_lr_sensitivity_by_hand():
    # Three decades, losses 1, 0.5, 0.2 and diverged; the start at 2: lost are .8, .3, 0 and 1.8.
    rates, losses = np.array([1e-3, 1e-2, 1e-1, 1.0]), np.array([1.0, 0.5, 0.2, NAN])
    expected = ((0.8 + 0.3) / 2 + (0.3 + 0) / 2 + (0 + 1.8) / 2) / 3
    assert lr_sensitivity(rates, losses, 2.0) == pytest.approx(expected)
    assert lr_sensitivity(rates, np.where(np.isnan(losses), 1e9, losses), 2.0) == pytest.approx(
        expected
    )
    assert lr_sensitivity(rates, np.full(4, 0.3), 2.0) == 0
    # An uneven grid weighs each stretch by its width in log rate.
    uneven = lr_sensitivity(np.array([1e-3, 1e-2, 1.0]), np.array([1.0, 0.0, 0.0]), 5.0)
    assert uneven == pytest.approx(0.5 * 1 / 3)


def test_steps_to_a_target():
    steps = np.array([10, 20, 30])
    curves = np.array([[0.9, 0.5, 0.1], [0.9, 0.8, 0.7], [0.2, 0.6, 0.1], [0.9, NAN, NAN]])
    np.testing.assert_array_equal(steps_to_target(steps, curves, 0.5, "min"), [20, INF, 10, INF])
    np.testing.assert_array_equal(steps_to_target(steps, curves, 0.8, "max"), [10, 10, INF, 10])


def _said(rates, scores, diverged=(), mode="max", start=0.1):
    trials = [{"learning_rate": r, "make": str} for r in rates]
    scores = np.array(scores, float)
    lost = np.isin(np.arange(len(rates)), diverged)
    best = int(np.nanargmax(scores) if mode == "max" else np.nanargmin(scores))
    found = cautions(trials, scores, lost, best, "valid_accuracy", mode, start)
    return [(c.kind, c.beyond) for c in found], [str(c) for c in found]


def test_a_choice_beside_a_cliff_or_on_an_edge_is_said():
    rates = [0.001, 0.01, 0.1, 1.0]
    assert _said(rates, [0.6, 0.8, 0.9, 0.85])[0] == []
    kinds, words = _said(rates, [0.6, 0.8, 0.9, 0.09])
    assert kinds == [("cliff", 1.0)]
    assert words == ["learning rate 0.1 stands beside a cliff: at 1 its valid accuracy was 0.09"]
    kinds, words = _said(rates, [0.6, 0.8, 0.9, NAN], diverged=[3])
    assert kinds == [("cliff", 1.0)]
    assert "at 1 it diverged" in words[0]
    kinds, words = _said(rates, [0.6, 0.7, 0.8, 0.9])
    assert [kind for kind, _ in kinds] == ["edge"]
    assert "lies on the edge of what was tried" in words[0]
    # Lower is better: the far side has lost most of what was won over the start.
    assert _said(rates, [0.5, 0.2, 0.1, 2.0], mode="min", start=2.3)[0] == [("cliff", 1.0)]
    assert _said(rates, [0.5, 0.2, 0.1, 0.4], mode="min", start=2.3)[0] == []
    # What comes close to the best is no cliff, however close all of them are.
    assert _said(rates, [0.7283, 0.7288, 0.7281, 0.7290], mode="min", start=None)[0] == []
    assert _said(rates, [0.9, 0.901, 0.902, 0.895], start=None)[0] == []
    assert _said(rates, [0.9, 0.901, 0.902, 0.88], start=None)[0] == [("cliff", 1.0)]


def test_a_momentum_of_0_is_no_edge():
    trials = [{"momentum": m} for m in (0.0, 0.5, 0.9)]
    lost = np.zeros(3, bool)
    found = [
        [c.kind for c in cautions(trials, np.array(scores), lost, best, "loss", "min")]
        for best, scores in ((0, [1.0, 1.1, 1.2]), (2, [1.2, 1.1, 1.0]))
    ]
    assert found == [[], ["edge"]]


def test_neighbours_differ_in_one_number_alone():
    trials = [
        {"a": 1.0, "b": 0.0},
        {"a": 2.0, "b": 0.0},
        {"a": 3.0, "b": 1.0},
        {"a": 3.0, "b": 0.0},
    ]
    scores = np.array([0.5, 0.9, 0.0, 0.88])
    none = np.zeros(4, bool)
    assert cautions(trials, scores, none, 1, "score", "max", 0.1) == []
    lost = np.array([False, False, False, True])
    (cliff,) = cautions(trials, scores, lost, 1, "score", "max", 0.1)
    assert (cliff.name, cliff.beyond) == ("a", 3.0)
