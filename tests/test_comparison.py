"""The tuned comparison: its protocol, its words, its report."""

from __future__ import annotations

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from scipy import stats

from lropt_jax import compare, grid, log_grid, sgd
from lropt_jax.comparisons.protocol import FRESH_SEEDS
from lropt_jax.comparisons.report import write_report
from lropt_jax.comparisons.tables import comparison_table, pairs_of, verdict
from tests.problems import noisy_regression, regression


def _momentum(learning_rate):
    return sgd(learning_rate, momentum=0.9)


@pytest.fixture(scope="module")
def comparison():
    entries = {
        "sgd": (sgd, {"learning_rate": log_grid(1e-4, 1e-3, 2)}),  # all too small: widens
        "momentum": (_momentum, {"learning_rate": log_grid(1e-3, 1e-1, 3)}),
        "adam": (optax.adam, {"learning_rate": log_grid(1e-2, 1.0, 3)}),
    }
    return compare(
        noisy_regression(), entries, steps=30, seeds=4, tuning_seeds=2, eval_every=10,
        select="valid_loss", progress=False,
    )  # fmt: skip


def test_each_choice_is_the_best_on_validation_data(comparison):
    for contestant in comparison.contestants.values():
        tuning = contestant.tuning
        means = tuning.values["valid_loss"][:, :, -1].mean(axis=1)
        assert contestant.chosen == tuning.trials[int(np.nanargmin(means))]


def test_a_choice_on_the_edge_widens_the_grid(comparison):
    widened = comparison.contestants["sgd"]
    rates = sorted(t["learning_rate"] for t in widened.tuning.trials)
    assert widened.widened == len(rates) - 2 >= 2
    np.testing.assert_allclose(np.diff(np.log10(rates)), 1.0, rtol=1e-6)  # at its own ratio
    assert rates[0] < widened.chosen["learning_rate"] < rates[-1]
    assert not widened.at_edge


def test_retraining_is_on_fresh_seeds_the_same_for_all(comparison):
    fresh = [c.retraining.seeds for c in comparison.contestants.values()]
    assert all(seeds == list(range(FRESH_SEEDS, FRESH_SEEDS + 4)) for seeds in fresh)
    for contestant in comparison.contestants.values():
        assert not set(contestant.tuning.seeds) & set(contestant.retraining.seeds)
        assert contestant.retraining.trials == [contestant.chosen]


def test_the_table_is_over_whole_splits_with_t_intervals(comparison):
    table = comparison.table()
    for name, contestant in comparison.contestants.items():
        values = contestant.retraining.final["test_accuracy"][0]
        low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
        assert table.loc[name, "test_accuracy"] == pytest.approx(values.mean())
        assert table.loc[name, "test_accuracy_interval"] == pytest.approx((high - low) / 2)
        train = contestant.retraining.final["train_accuracy"][0]
        assert table.loc[name, "generalization_gap"] == pytest.approx((train - values).mean())
        # the last mean batch loss is of other parameters and batches than the whole split
        assert contestant.final("train_loss") != pytest.approx(
            contestant.retraining.values["train_loss"][0, :, -1]
        )


def test_paired_tests_equal_scipy_and_are_corrected(comparison):
    tests = comparison.tests("test_loss")
    assert len(tests) == 3
    raw = {}
    for test in tests:
        first, second = (
            comparison.contestants[n].final("test_loss") for n in (test.first, test.second)
        )
        assert test.difference == pytest.approx((first - second).mean())
        assert test.difference >= 0
        raw[test.first, test.second] = stats.ttest_rel(first, second).pvalue
    ordered = sorted(raw.values())
    expected = np.minimum(1, np.maximum.accumulate(np.array(ordered) * [3, 2, 1]))
    np.testing.assert_allclose(sorted(t.p_value for t in tests), expected, rtol=1e-6)


def test_the_report_is_one_self_contained_page_with_figures_and_rows(comparison, tmp_path):
    page = write_report(comparison, tmp_path / "a" / "b", "A <title>", {"data": "x & y"}, "lropt")
    html = page.read_text()
    assert "A &lt;title&gt;" in html
    assert "x &amp; y" in html
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html)  # nothing outside of the page
    for name in ("learning_curves", "learning_rates", "generalization_gap"):
        assert (page.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for cell in comparison_table(comparison).rows[0]:
        assert cell in html
    for row in pairs_of(comparison).rows:
        for pair in row.pairs:
            assert pair.said.partition(":")[0] in html
    rows = pd.read_csv(page.parent / "rows.csv")
    lanes = sum(len(c.tuning.trials) * 2 + 4 for c in comparison.contestants.values())
    metrics = len(comparison.contestants["sgd"].tuning.values)
    assert len(rows) == lanes * 3 * metrics
    assert set(rows["phase"]) == {"tune", "retrain"}
    retrained = pd.read_csv(page.parent / "retrained.csv")
    assert len(retrained) == 3 * 4
    assert set(retrained["seed"]) == set(range(FRESH_SEEDS, FRESH_SEEDS + 4))


def test_the_verdict_says_what_is_significant_and_what_is_not(comparison):
    said = verdict(comparison)
    tests = {frozenset((t.first, t.second)): t for t in comparison.tests()}
    best = said.split()[0]
    certain, _, open_ = said.partition("No significant difference")
    for name in set(comparison.contestants) - {best}:
        significant = tests[frozenset((best, name))].significant
        assert (name in certain) == significant
        assert (name in open_.partition("points above")[0]) == (not significant)


def test_a_diverged_seed_is_left_out_and_said(tmp_path):
    entries = {
        "far": (sgd, {"learning_rate": grid(0.01, 1e12)}),
        "near": (sgd, {"learning_rate": 0.01}),
    }
    result = compare(regression(), entries, steps=20, seeds=2, tuning_seeds=1, progress=False)
    assert result.contestants["far"].chosen["learning_rate"] == 0.01
    assert result.contestants["far"].tuning.status[1, 0] == "diverged"
    write_report(result, tmp_path, "t", {})
    assert "1 diverged on some seed" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizers": {}}, "optimizers must name at least one"),
        ({"seeds": 1}, "seeds must be at least 2"),
        ({"select": "accuracy"}, "select must be one of .*valid_accuracy.*got 'accuracy'"),
        ({"mode": "most"}, "mode must be 'min' or 'max', got 'most'"),
        ({"tuning_seeds": 0}, "tuning_seeds must be"),
        ({"target": "0.9"}, "target must be a finite number or None, got '0.9'"),
        ({"smallest_difference": True}, "smallest_difference must be a finite number"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"optimizers": {"sgd": (sgd, {"learning_rate": 0.1})}, "steps": 2, **change}
    with pytest.raises(ValueError, match=message):
        compare(regression(), **arguments)


def test_a_task_without_a_test_split_is_refused():
    task = regression()
    bare = dataclasses.replace(task, test=None)
    with pytest.raises(ValueError, match="needs a task with a test split"):
        compare(bare, {"sgd": (sgd, {"learning_rate": 0.1})})


def test_an_optimizer_that_never_finishes_is_a_row_that_says_so(tmp_path):
    entries = {
        "good": (sgd, {"learning_rate": log_grid(1e-3, 1e-1, 3)}),
        "lost": (sgd, {"learning_rate": log_grid(1e12, 1e14, 3)}),
        "fixed": (_momentum, {"learning_rate": 0.01}),
    }
    result = compare(regression(), entries, 20, 2, 1, progress=False)
    lost = result.contestants["lost"]
    assert lost.chosen == {}
    assert lost.retraining.trials == []
    table = result.table()
    assert list(table.index) == list(entries)
    assert table.loc["lost"].drop("configurations").isin([0]).sum() == 1  # finished on no seed
    assert np.isnan(table.loc["lost", "test_loss"])
    assert np.isfinite(table.loc[["good", "fixed"], "test_loss"]).all()
    assert "lost" not in result.ranking
    said = verdict(result)
    assert "lost is out: every configuration diverged" in said
    assert "smaller values" in said
    assert comparison_table(result).rows[-1][0] == "lost (never finished)"
    write_report(result, tmp_path, "t", {})
    assert "every configuration diverged" in (tmp_path / "report.html").read_text()
    assert set(result.to_pandas().optimizer) == set(entries)


def test_nothing_that_finishes_is_said_too(tmp_path):
    result = compare(
        regression(), {"sgd": (sgd, {"learning_rate": 1e12})}, 20, 2, 1, progress=False
    )
    assert verdict(result).startswith("No optimizer finished")
    assert "sgd: every configuration diverged" in verdict(result)
    assert result.recommendation.startswith("No optimizer finished")
    assert result.recommendation.code == ""
    result.report(tmp_path)
    repr(result)


def test_the_reason_of_a_failure_is_the_true_one():
    task = regression()
    infinite = dataclasses.replace(
        task, evaluate=lambda w, s, b: {"mape": _inf_like(b["y"]), "loss": abs(b["y"])}
    )
    entries = {"sgd": (sgd, {"learning_rate": 0.01})}
    budget = {"steps": 5, "seeds": 2, "tuning_seeds": 1, "progress": False}
    result = compare(infinite, entries, select="valid_mape", **budget)
    assert "valid_mape is finite on all seeds for none" in result.contestants["sgd"].failure
    assert "smaller" not in verdict(result)
    broken = dataclasses.replace(task, loss=lambda w, s, b, k: (jnp.nan * w["b"], (s, {})))
    result = compare(broken, entries, **budget)
    assert "before any update" in result.contestants["sgd"].failure
    assert "smaller" not in verdict(result)


def _inf_like(y):
    return jnp.full(y.shape, jnp.inf)


class _Interrupting:
    """A progress line that is interrupted after so many segments."""

    def __init__(self, after):
        self.left = after

    def advance(self, model_steps):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    def skip(self, model_steps):
        pass

    def describe(self, what):
        pass

    def note(self, what):
        pass


@pytest.mark.parametrize("after", [2, 9, 16])
def test_an_interrupted_comparison_goes_on_where_it_was(after, tmp_path):
    entries = {
        "sgd": (sgd, {"learning_rate": log_grid(1e-3, 1e-2, 2)}),
        "a b/c": (_momentum, {"learning_rate": log_grid(1e-3, 1e-1, 3)}),
    }
    budget = {"steps": 12, "seeds": 2, "tuning_seeds": 1, "eval_every": 4}
    whole = compare(regression(), entries, **budget, progress=False)
    interrupted = _Interrupting(after)
    with pytest.raises(KeyboardInterrupt):
        compare(regression(), entries, **budget, directory=tmp_path, progress=interrupted)
    again = _Interrupting(-1)
    resumed = compare(regression(), entries, **budget, directory=tmp_path, progress=again)
    pd.testing.assert_frame_equal(resumed.to_pandas(), whole.to_pandas())
    pd.testing.assert_frame_equal(resumed.table(), whole.table())
    compare(regression(), entries, **budget, directory=tmp_path, progress=_Interrupting(1))


def test_devices_may_be_a_number_of_them():
    entries = {"sgd": (sgd, {"learning_rate": 0.01})}
    budget = {"steps": 4, "seeds": 2, "tuning_seeds": 1, "progress": False}
    by_number = compare(regression(), entries, **budget, devices=1)
    listed = compare(regression(), entries, **budget, devices=jax.local_devices()[:1])
    pd.testing.assert_frame_equal(by_number.to_pandas(), listed.to_pandas())
    numbers = {"steps": 4.0, "seeds": 2.0, "tuning_seeds": 1.0, "devices": np.int64(1)}
    alike = compare(regression(), entries, **{**budget, **numbers})
    pd.testing.assert_frame_equal(by_number.to_pandas(), alike.to_pandas())
