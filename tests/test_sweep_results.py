"""What a sweep's result says, on values made by hand."""

from __future__ import annotations

import dataclasses
import io
import re

import numpy as np
import pandas as pd
import pytest

from lropt_jax import SweepResult, adam, pbt, sgd, successive_halving
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
    assert best == {"learning_rate": 1e-3, "make": adam}  # what the optimizer takes
    assert (best.trial, best.value, best.metric) == (3, 2.5, "valid_loss")
    assert result.best().trial == 3
    assert result.best("valid_accuracy").trial == 3  # an accuracy is best when highest
    assert result.best("valid_loss", "max").trial == 0
    assert adam(result.best()["learning_rate"])
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


def test_the_budget_curve_counts_the_diverged_as_the_worst():
    result = made([[1.0], [3.0], [NAN]], [["finished"], ["finished"], ["diverged"]])
    curve = result.budget_curve()
    assert list(curve) == ["trials", "expected_best", "low", "high"]
    np.testing.assert_allclose(curve.expected_best[0], (1 + 3 + 3) / 3)
    assert curve.expected_best.is_monotonic_decreasing
    assert curve.high[0] == np.inf  # the worst of three may be anything
    assert (curve.low == [0, 0, 0]).all()  # a loss is not negative
    up = result.budget_curve("valid_accuracy", trials=2)
    assert up.expected_best.is_monotonic_increasing
    np.testing.assert_allclose(up.expected_best[0], (0.9 + 0.7 + 0) / 3)
    assert len(up) == 2
    assert (up.low <= up.high).all()
    with pytest.raises(ValueError, match="trials must be at most the 3 values, got 9"):
        result.budget_curve(trials=9)
    below = made([[-1.0], [3.0]]).budget_curve()  # but this one is
    assert below.low[1] == -np.inf


def _with_metrics(**values):
    result = made([[1.0], [2.0]])
    return dataclasses.replace(
        result, values={name: np.array(v, float)[:, None, None] for name, v in values.items()}
    )


def test_the_last_word_of_a_metric_says_which_way_is_better():
    result = _with_metrics(valid_r2=[-5.0, 0.9], valid_macro_f1=[0.2, 0.8], valid_mape=[3.0, 1.0])
    for metric in ("valid_r2", "valid_macro_f1", "valid_mape"):
        assert result.best(metric).trial == 1
        assert result.budget_curve(metric).expected_best[1] == pytest.approx(
            result.last(metric)[1, 0]
        )
    assert result.best("valid_mape", "max").trial == 0
    odd = _with_metrics(valid_bleu=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"mode must be given .* 'valid_bleu'"):
        odd.best("valid_bleu")
    assert odd.best("valid_bleu", "max").trial == 1
    with pytest.raises(ValueError, match="mode must be given"):
        successive_halving(metric="valid_bleu")
    assert successive_halving(metric="valid_accuracy").mode == "max"
    assert pbt(every=2, metric="valid_r2").mode == "max"


def test_without_a_validation_loss_nothing_else_is_ranked_by_in_silence():
    only = _with_metrics(train_loss=[1.0, 2.0], valid_r2=[0.1, 0.7])
    assert only.best().metric == "valid_r2"
    assert only.best().trial == 1
    several = _with_metrics(train_loss=[1.0, 2.0], valid_r2=[0.1, 0.7], valid_mae=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"metric must be given: .* valid_r2, valid_mae"):
        several.best()
    unvalidated = _with_metrics(train_loss=[2.0, 1.0], train_norm=[0.1, 0.7])
    assert unvalidated.best().metric == "train_loss"


def test_only_what_belongs_together_is_joined():
    first = made([[1, 2], [3, 4]], seeds=[3, 9])
    both = first.joined(made([[0, 0]], trials=[{"learning_rate": 7.0}], seeds=[3, 9]))
    assert [t["learning_rate"] for t in both.trials] == [1.0, 0.1, 7.0]
    assert both.best().trial == 2
    with pytest.raises(ValueError, match=r"same seeds .* \[3, 9\] and \[0, 1\]"):
        first.joined(made([[0, 0]]))
    longer = dataclasses.replace(first, steps=np.array([70]))
    with pytest.raises(ValueError, match=r"same steps .* \[50\] and \[70\]"):
        first.joined(longer)
    with pytest.raises(ValueError, match="same metrics"):
        first.joined(dataclasses.replace(first, values={"valid_loss": first.values["valid_loss"]}))


def test_a_thousand_batches_of_a_search_are_joined_at_once():
    parts = [made([[i]], trials=[{"learning_rate": float(i)}]) for i in range(1500)]
    both = parts[0].joined(*parts[1:])
    assert [t["learning_rate"] for t in both.trials] == list(range(1500))
    assert both.models.line(1499, both.trials[1499]) == "optimizer(learning_rate=1499)"


def test_sensitivity_takes_the_best_trial_of_each_value():
    trials = [{"learning_rate": r} for r in (0.3, 0.1, 0.3, 0.1, 0.2)] + [{"other": 1.0}]
    found = made([[3], [2], [1], [2], [NAN], [0]], trials=trials).sensitivity("learning_rate")
    assert found.values.tolist() == [0.1, 0.2, 0.3]
    assert found.trials.tolist() == [1, -1, 2]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_table_is_saved(tmp_path, suffix):
    result = made([[1, 2], [3, 4]])
    path = tmp_path / f"table.{suffix}"
    result.save(path)
    back = pd.read_csv(path) if suffix == "csv" else pd.read_parquet(path)
    np.testing.assert_array_equal(back.value, result.to_pandas().value)
    with pytest.raises(ValueError, match=r"\.parquet or \.csv"):
        result.save(tmp_path / "table.xlsx")


def test_without_pandas_the_tables_file_is_the_same_csv(monkeypatch):
    result = made(
        [[1, 2], [NAN, 4 / 3]], [["finished"] * 2, ["diverged", "finished"]], seeds=[3, 9]
    )
    monkeypatch.setattr("lropt_jax.sweeps.results.result.installed", lambda package: False)
    name, content = result.table_file()
    assert name == "results.csv"
    pd.testing.assert_frame_equal(
        pd.read_csv(io.BytesIO(content)),
        pd.read_csv(io.StringIO(result.to_pandas().to_csv(index=False))),
    )


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
    assert len(heat.patches) == 3  # the two diverged cells, and the best
    parallel = result.plot_parallel().axes[0]
    assert [t.get_text() for t in parallel.get_xticklabels()] == [
        "learning rate", "momentum", "make", "valid loss",
    ]  # fmt: skip
    curves = result.plot_curves(best=3).axes[0]
    assert len(curves.get_legend().get_texts()) == 3
    result.plot_budget().savefig(tmp_path / "budget.png")
    with pytest.raises(KeyError, match="momentum"):
        result.plot_heatmap("learning_rate", "mom")


def test_a_heatmap_of_samples_shows_each_where_it_lies_and_rings_the_best():
    random = np.random.default_rng(0)
    trials = [
        {"learning_rate": r, "momentum": m}
        for r, m in zip(10 ** random.uniform(-4, 0, 24), random.uniform(0, 1, 24), strict=True)
    ]
    loss = random.uniform(1, 2, (24, 2))
    status = np.full(loss.shape, "finished", object)
    status[5] = "diverged"
    loss[5] = NAN
    result = made(loss, status, trials)
    axes = result.plot_heatmap("learning_rate", "momentum").axes[0]
    assert axes.get_xscale() == "log"
    points = axes.collections[0].get_offsets()
    assert len(points) == 23
    crosses, ring = axes.lines
    assert crosses.get_xdata() == pytest.approx([trials[5]["learning_rate"]])
    best = result.best()
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == pytest.approx(
        (best["learning_rate"], best["momentum"])
    )


def test_the_band_of_two_seeds_stays_within_what_an_accuracy_can_be():
    loss = [[6.0, 4.0], [2.0, 4.0], [3.0, 5.0]]  # accuracies around .5 to .7, t(1) is 12.7
    figure = made(loss).plot_sensitivity("learning_rate", "valid_accuracy")
    axes = figure.axes[0]
    band = axes.collections[-1].get_paths()[0].vertices[:, 1]
    assert band.min() >= 0
    assert band.max() <= 1
    low, high = axes.get_ylim()
    assert high - low < 0.6


def test_means_that_hardly_differ_are_shown_with_their_intervals():
    loss = [[6.00, 4.0, 5.0], [5.99, 4.0, 5.0], [6.01, 4.0, 5.0]]
    axes = made(loss).plot_sensitivity("learning_rate").axes[0]
    band = axes.collections[-1].get_paths()[0].vertices[:, 1]
    low, high = axes.get_ylim()
    assert low < band.min()
    assert high > band.max()


def test_figures_of_a_real_sweep_without_any_finisher():
    from tests.sweep_problems import DIVERGES, fragile

    result = run({"learning_rate": [DIVERGES, 2 * DIVERGES]}, fragile)
    assert result.sensitivity("learning_rate").basin is None
    result.plot_sensitivity("learning_rate")
    result.plot_parallel()
    result.plot_curves()


def test_a_study_is_told_of_all(tmp_path):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trials = [
        {"learning_rate": 0.001, "make": adam, "layers": 2},
        {"learning_rate": 0.1, "make": sgd, "layers": 3},
        {"learning_rate": 1.0, "make": sgd},
        {"learning_rate": 0.01, "make": adam, "layers": 3},
    ]
    status = [["finished"] * 2, ["finished"] * 2, ["diverged", "finished"], ["pruned"] * 2]
    result = made([[2, 4], [1, 2], [NAN, 1], [NAN, NAN]], status, trials)
    study = result.to_optuna()
    assert [t.value for t in study.trials] == [3.0, 1.5, np.inf, None]
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 3 + ["PRUNED"]
    assert study.best_params == {"learning_rate": 0.1, "make": "sgd", "layers": 3}
    assert study.trials[2].params == {"learning_rate": 1.0, "make": "sgd"}
    rate = study.trials[0].distributions["learning_rate"]
    assert (rate.low, rate.high, rate.log) == (0.001, 1.0, True)
    assert study.trials[0].intermediate_values == {50: 3.0}
    upwards = result.to_optuna("valid_accuracy")
    assert upwards.direction.name == "MAXIMIZE"
    assert upwards.trials[2].value == -np.inf


@pytest.mark.parametrize("name", ["page.html", "new/folder"])
def test_a_report_is_one_page(tmp_path, name):
    trials = [{"learning_rate": r, "momentum": m} for r in (0.01, 0.1, 1.0) for m in (0.0, 0.9)]
    result = made(np.arange(12.0).reshape(6, 2)[::-1] + 1, trials=trials)
    path = result.report(tmp_path / name, title="Rates & momenta")
    text = path.read_text()
    assert path == tmp_path / (name if name.endswith("html") else f"{name}/report.html")
    assert "<h1>Rates &amp; momenta</h1>" in text
    assert re.findall(r'<th scope="row">(\d)', text) == list("543210")  # the best one first
    assert text.count("<figure>") == 5  # two sensitivities, parallel, heat-map, budget
    nothing = made([[NAN]], [["diverged"]]).report(tmp_path / "nothing.html")
    assert "1 diverged" in nothing.read_text()
