"""What a sweep's result says, on values made by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lropt_jax import SweepResult, adam, sgd
from lropt_jax.sweeps.results.statistics import expected_best
from tests.sweep_problems import run

NAN = np.nan


def made(loss, status=None, trials=None, seeds=None):
    """A result with a validation loss (trials, seeds) at its only evaluation."""
    loss = np.array(loss, float)
    status = np.full(loss.shape, "finished", object) if status is None else np.array(status, object)
    trials = trials or [{"learning_rate": 10.0**-i, "make": adam} for i in range(len(loss))]
    return SweepResult(
        trials,
        list(range(loss.shape[1])) if seeds is None else seeds,
        np.array([50]),
        {"valid_loss": loss[:, :, None], "valid_accuracy": 1 - loss[:, :, None] / 10},
        {},
        status,
        np.where(status == "diverged", 7, -1),
        np.ones(loss.shape, int),
    )


def test_the_tidy_frame():
    result = made([[1, 2], [NAN, 4]], [["finished"] * 2, ["diverged", "finished"]], seeds=[3, 9])
    frame = result.to_pandas()
    assert list(frame) == [
        "trial", "seed", "learning_rate", "make", "step", "metric", "value", "status",
        "diverged_at",
    ]  # fmt: skip
    loss = frame[frame.metric == "valid_loss"].set_index(["trial", "seed"])
    assert len(frame) == 8
    assert loss.loc[(0, 9), "value"] == 2
    assert loss.loc[(0, 3), "learning_rate"] == 1.0
    assert loss.loc[(0, 3), "make"] == "adam"
    assert loss.loc[(1, 3), "status"] == "diverged"
    assert loss.loc[(1, 3), "diverged_at"] == 7
    assert loss.loc[(1, 9), "diverged_at"] is pd.NA


def test_pruned_trials_have_rows_up_to_where_they_went():
    result = made([[1.0], [2.0]])
    pruned = dataclasses.replace(result, reached=np.array([[1], [0]]))
    assert set(pruned.to_pandas().trial) == {0}


def test_the_dataset():
    data = made([[1, 2], [3, 4], [5, 6]], seeds=[3, 9]).to_xarray()
    assert data.valid_loss.dims == ("trial", "seed", "step")
    assert float(data.valid_loss.sel(trial=1, seed=9, step=50)) == 4
    assert data.learning_rate.dims == ("trial",)
    assert data.status.dims == ("trial", "seed")


def test_best_counts_finishers_on_all_seeds_only():
    status = [["finished"] * 2, ["finished", "diverged"], ["finished", "pruned"], ["finished"] * 2]
    result = made([[3, 3], [0, NAN], [1, 1], [2, 3]], status)
    best = result.best("valid_loss", "min")
    assert best == {"learning_rate": 1e-3, "make": adam, "trial": 3, "value": 2.5}
    assert result.best()["trial"] == 3
    assert result.best("valid_accuracy")["trial"] == 3  # an accuracy is best when highest
    assert result.best("valid_loss", "max")["trial"] == 0
    with pytest.raises(KeyError, match="valid_accuracy"):
        result.best("valid_acc")
    with pytest.raises(ValueError, match="mode"):
        result.best(mode="best")
    with pytest.raises(ValueError, match="no configuration finished"):
        made([[NAN]], [["diverged"]]).best()


def test_sensitivity_takes_the_best_of_the_others_and_finds_the_basin():
    rates = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    trials = [{"learning_rate": r, "make": m} for r in rates for m in (adam, sgd)]
    loss = [[5, 5], [6, 6], [1.0, 1.04], [9, 9], [1, 1], [2, 2], [1.2, 1.2], [1.04, 1.04],
            [NAN, NAN], [NAN, 3]]  # fmt: skip
    status = np.where(np.isnan(loss), "diverged", "finished")
    found = made(loss, status, trials).sensitivity("learning_rate")
    np.testing.assert_array_equal(found.values, rates)
    np.testing.assert_array_equal(found.trials, [0, 2, 4, 7, -1])
    np.testing.assert_allclose(found.mean, [5, 1.02, 1, 1.04, NAN])
    np.testing.assert_allclose(found.diverged, [0, 0, 0, 0, 0.75])
    # Student's t with one degree of freedom: 12.706 standard errors of 0.02.
    np.testing.assert_allclose(found.half_width[1], 12.706 * 0.02, rtol=1e-4)
    assert found.basin == (1e-3, 1e-1)
    assert found.basin_width == pytest.approx(2)
    narrow = made(loss, status, trials).sensitivity("learning_rate", tolerance=0.01)
    assert narrow.basin == (1e-2, 1e-2)
    assert len(found.to_pandas()) == 5
    with pytest.raises(KeyError, match="learning_rate"):
        made(loss, status, trials).sensitivity("make")


def test_the_expected_best_against_a_count_of_all_draws():
    losses = np.array([3.0, 1.0, 2.0, 2.0])
    for n, expected in enumerate(expected_best(losses, 3)[0], start=1):
        draws = np.stack(np.meshgrid(*[losses] * n), -1).reshape(-1, n)
        np.testing.assert_allclose(expected, draws.min(axis=1).mean())
        _, low, high = expected_best(losses, 3)
        lowest = np.sort(draws.min(axis=1))
        assert (lowest <= low[n - 1]).mean() >= 0.025
        assert (lowest <= high[n - 1]).mean() >= 0.975
        assert (lowest < high[n - 1]).mean() < 0.975


def test_the_budget_curve_counts_the_diverged_as_the_worst():
    result = made([[1.0], [3.0], [NAN]], [["finished"], ["finished"], ["diverged"]])
    curve = result.budget_curve()
    assert list(curve) == ["trials", "expected_best", "low", "high"]
    np.testing.assert_allclose(curve.expected_best[0], (1 + 3 + 3) / 3)
    assert curve.expected_best.is_monotonic_decreasing
    up = result.budget_curve("valid_accuracy", trials=9)
    assert up.expected_best.is_monotonic_increasing
    assert len(up) == 9
    assert (up.low <= up.high).all()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_table_is_saved(tmp_path, suffix):
    result = made([[1, 2], [3, 4]])
    path = tmp_path / f"table.{suffix}"
    result.save(path)
    back = pd.read_csv(path) if suffix == "csv" else pd.read_parquet(path)
    np.testing.assert_array_equal(back.value, result.to_pandas().value)
    with pytest.raises(ValueError, match=r"\.parquet or \.csv"):
        result.save(tmp_path / "table.xlsx")


def test_figures(tmp_path):
    trials = [
        {"learning_rate": r, "momentum": m, "make": k}
        for r in (0.01, 0.1, 1.0) for m in (0.0, 0.9) for k in (adam, sgd)
    ]  # fmt: skip
    loss = np.arange(24.0).reshape(12, 2) + 1
    status = np.full(loss.shape, "finished", object)
    loss[8:], status[8:] = NAN, "diverged"
    result = made(loss, status, trials)
    sensitivity = result.plot_sensitivity("learning_rate")
    labels = [text.get_text() for text in sensitivity.axes[0].get_legend().get_texts()]
    assert {"diverged", "95% interval"} <= set(labels)
    heat = result.plot_heatmap("learning_rate", "momentum").axes[0]
    assert len(heat.patches) == 2  # the two diverged cells
    parallel = result.plot_parallel().axes[0]
    assert [t.get_text() for t in parallel.get_xticklabels()] == [
        "learning rate", "momentum", "make", "valid loss",
    ]  # fmt: skip
    curves = result.plot_curves(best=3).axes[0]
    assert len(curves.get_legend().get_texts()) == 3
    result.plot_budget().savefig(tmp_path / "budget.png")
    with pytest.raises(KeyError, match="momentum"):
        result.plot_heatmap("learning_rate", "mom")


def test_figures_of_a_real_sweep_without_any_finisher():
    from tests.sweep_problems import DIVERGES, fragile

    result = run({"learning_rate": [DIVERGES, 2 * DIVERGES]}, fragile)
    assert result.sensitivity("learning_rate").basin is None
    result.plot_sensitivity("learning_rate")
    result.plot_parallel()
    result.plot_curves()
