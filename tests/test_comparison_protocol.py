"""What a comparison promises: who sees what, at which cost, and what is said of it."""

from __future__ import annotations

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest

import lropt_jax
from lropt_jax import adam, choice, compare, integer, log_grid, log_uniform, sgd
from lropt_jax.comparisons.splits import redrawn
from lropt_jax.comparisons.tables import comparison_table, costs_table, pairs_of, verdict
from lropt_jax.comparisons.words import protocol_words
from tests.problems import noisy_regression, regression

QUIET = {"steps": 20, "seeds": 3, "tuning_seeds": 2, "progress": False, "strategy": "vmap"}
RATES = {"learning_rate": log_grid(1e-3, 1e-1, 3)}


def _momentum(learning_rate):
    return sgd(learning_rate, momentum=0.9)


def _renamed(**names):
    """The regression with metrics of other names, each a function of the residual."""
    task = regression()

    def evaluate(w, s, batch):
        residual = batch["x"] @ w["w"] + w["b"] - batch["y"]
        return {name: function(residual) for name, function in names.items()}

    return dataclasses.replace(task, evaluate=evaluate)


def test_no_tuning_run_sees_the_test_split():
    task = regression()
    poisoned = dataclasses.replace(task, test={**task.test, "y": task.test["y"] + np.nan})
    entries = {"sgd": (sgd, RATES), "adam": (adam, RATES)}
    clean, blind = (compare(t, entries, **QUIET) for t in (task, poisoned))
    for name, contestant in clean.contestants.items():
        other = blind.contestants[name]
        assert contestant.chosen == other.chosen
        pd.testing.assert_frame_equal(contestant.tuning.to_pandas(), other.tuning.to_pandas())
        names = [*contestant.tuning.values, *contestant.tuning.final]
        assert not any("test" in name for name in names)
        assert contestant.finished == other.finished == 3  # a NaN there is not a divergence
        assert np.isnan(other.final("test_loss")).all()
        assert np.isfinite(other.final("train_loss")).all()


def test_the_figure_of_tuning_shows_validation_data():
    result = compare(regression(), {"sgd": (sgd, RATES)}, **QUIET)
    figure = result.plot_learning_rates()
    assert figure.axes[0].get_ylabel() == "validation accuracy"
    drawn = figure.axes[0].lines[0].get_ydata()
    tuning = result.contestants["sgd"].tuning
    order = np.argsort([t["learning_rate"] for t in tuning.trials])
    np.testing.assert_allclose(drawn, tuning.means("valid_accuracy")[order])


@pytest.mark.parametrize("trials", [None, 5])
def test_budgets_are_equal_whatever_the_grids(trials):
    ranges = {"learning_rate": log_uniform(1e-3, 1e-1), "momentum": choice(0.0, 0.9)}
    entries = {
        "small": (_momentum, {"learning_rate": log_grid(0.01, 0.1, 3)}),
        "large": (sgd, {"learning_rate": log_grid(1e-3, 1e-1, 12)}),
        "far": (adam, {"learning_rate": log_grid(1e-6, 1e-5, 3)}),
        "lost": (sgd, {"learning_rate": log_grid(1e12, 1e13, 2)}),
        **({"sampled": (sgd, ranges)} if trials else {}),
    }
    result = compare(regression(), entries, trials=trials, select="valid_loss", **QUIET)
    counts = {
        name: len({tuple(t.items()) for t in c.tuning.trials})
        for name, c in result.contestants.items()
    }
    assert len(set(counts.values())) == 1, counts
    assert result.equal_budgets
    assert result.table().configurations.tolist() == list(counts.values())
    far = result.contestants["far"]
    assert far.widened > 0
    assert far.chosen["learning_rate"] > 1e-5
    number = next(iter(counts.values()))
    assert f"Each optimizer was tuned on {number} configurations" in protocol_words(result)
    grown = [c for c in result.contestants.values() if c.tuning.trials]
    assert all(len(c.tuning.seeds) == 2 for c in grown)


def test_unequal_budgets_are_said_wherever_equal_ones_would_be(tmp_path):
    entries = {
        "listed": (sgd, [{"learning_rate": 0.01}, {"learning_rate": 0.1}]),
        "fixed": (adam, {"learning_rate": 0.01}),
        "grid": (sgd, RATES),
    }
    result = compare(regression(), entries, **QUIET)
    assert not result.equal_budgets
    words = protocol_words(result)
    assert "same number" not in words
    grown = result.contestants["grid"].configurations
    assert f"different numbers of configurations (listed 2, fixed 1, grid {grown})" in words
    assert any("not tuned on the same number" in line for line in result.warnings)
    result.report(tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert "not tuned on the same number" in html
    assert f"listed 2, fixed 1, grid {grown}" in html


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ((adam, {"lr": 0.1}), "unknown hyperparameter 'lr'"),
        ((adam, {"learning_rate": -1.0}), "learning_rate must be"),
        ((adam, [{"lr": 0.1}]), "unknown hyperparameter 'lr'"),
        ((adam, {"learning_rate": log_uniform(0.1, 1.0)}), "full grid needs values"),
        ((adam, {}), "must name at least one hyperparameter"),
        (adam, r"must be \(factory, space\)"),
        ((adam(0.1), {"learning_rate": 0.1}), r"must be \(factory, space\)"),
    ],
)
def test_the_second_optimizers_fault_is_found_before_the_first_is_trained(
    second, message, monkeypatch, tmp_path
):
    def never(*arguments, **named):
        raise AssertionError("something was trained")

    monkeypatch.setattr("lropt_jax.comparisons.match.trained", never)
    entries = {"sgd": (sgd, RATES), "second": second}
    with pytest.raises(ValueError, match=message) as caught:
        compare(regression(), entries, **QUIET, directory=tmp_path / "kept")
    assert "optimizers['second']" in str(caught.value)
    assert not (tmp_path / "kept").exists()


def test_a_function_of_task_is_served_and_its_faults_found_before():
    def make(batch_size=8):
        return regression(batch_size)

    entries = {
        "sgd": (sgd, {"learning_rate": 0.01, "batch_size": choice(4, 8)}),
        "adam": (adam, RATES),
    }
    result = compare(make, entries, **QUIET)
    assert result.contestants["sgd"].chosen["batch_size"] in (4, 8)
    assert np.isfinite(result.table()["test_loss"]).all()
    with pytest.raises(ValueError, match=r"optimizers\['sgd'\]: its task has no test split"):
        compare(lambda: dataclasses.replace(regression(), test=None), {"sgd": (sgd, RATES)})


@pytest.mark.parametrize(
    ("names", "select", "way"),
    [
        ({"mse": jnp.square}, None, "min"),
        ({"r2": lambda r: -(r**2)}, None, "max"),
        ({"loss": jnp.square, "mae": jnp.abs}, None, "min"),
        ({"loss": jnp.square, "r2": lambda r: -(r**2)}, "valid_r2", "max"),
    ],
)
def test_metrics_of_any_name_decide_the_right_way_and_are_shown(names, select, way, tmp_path):
    result = compare(_renamed(**names), {"sgd": (sgd, RATES)}, select=select, **QUIET)
    assert result.protocol.mode == result.mode == way
    contestant = result.contestants["sgd"]
    scores = contestant.tuning.means(result.protocol.select)
    best = np.nanargmax(scores) if way == "max" else np.nanargmin(scores)
    assert contestant.chosen == contestant.tuning.trials[best]
    table = result.table()
    for name in names:
        assert f"test_{name}" in table
        assert f"test_{name}_interval" in table
        assert np.isfinite(table[f"train_{name}"]).all()
        words = f"test {name}"
        assert words in comparison_table(result).headings
    assert result.decisive in table
    assert result.tests() == []
    result.report(tmp_path)


@pytest.mark.parametrize(
    ("names", "arguments", "message"),
    [
        ({"bleu": jnp.abs}, {}, "mode must be given .* 'valid_bleu'"),
        ({"bleu": jnp.abs, "mae": jnp.abs}, {}, "select must be given: .* valid_bleu, valid_mae"),
        ({"mae": jnp.abs}, {"select": "valid_mea"}, "select must be one of train_loss, valid_mae"),
    ],
)
def test_a_metric_that_does_not_tell_is_refused_before_training(
    names, arguments, message, monkeypatch
):
    monkeypatch.setattr("lropt_jax.comparisons.match.trained", None)
    with pytest.raises(ValueError, match=message):
        compare(_renamed(**names), {"sgd": (sgd, RATES)}, **QUIET, **arguments)


def test_a_metric_that_is_infinite_everywhere_hurts_nothing_else():
    task = regression()
    zero = {**task.valid, "y": task.valid["y"].copy()}
    zero["y"][0] = 0.0

    def evaluate(w, s, batch):
        residual = batch["x"] @ w["w"] + w["b"] - batch["y"]
        return {"loss": residual**2, "mape": abs(residual / batch["y"])}

    result = compare(
        dataclasses.replace(task, evaluate=evaluate, valid=zero), {"sgd": (sgd, RATES)}, **QUIET
    )
    contestant = result.contestants["sgd"]
    plain = compare(task, {"sgd": (sgd, RATES)}, **QUIET, select="valid_loss")
    np.testing.assert_array_equal(contestant.tuning.status, plain.contestants["sgd"].tuning.status)
    finished = contestant.tuning.status == "finished"
    assert finished[:3].all()
    assert np.isinf(contestant.tuning.values["valid_mape"][finished]).all()
    assert contestant.chosen
    assert np.isfinite(result.table().loc["sgd", "test_mape"])


def test_the_standard_error_of_the_test_set_is_that_of_its_examples():
    result = compare(noisy_regression(), {"sgd": (sgd, RATES)}, **QUIET)
    table = result.table()
    assert not any("deviation" in name for name in table)
    assert not any("deviation" in m for m in result.to_pandas().metric.unique())
    accuracy = result.contestants["sgd"].final("test_accuracy")
    n = len(noisy_regression().test["y"])
    # A share's: p (1 - p) / n, averaged over the seeds.
    expected = np.sqrt((accuracy * (1 - accuracy)).mean() / n)
    error = table.loc["sgd", "test_accuracy_standard_error"]
    assert error == pytest.approx(expected, rel=1e-4)
    words = costs_table(result, {}).rows[0]
    assert words[2] == f"± {100 * expected:.2f}"
    assert f"{n} test examples" in protocol_words(result)
    assert "one split" in protocol_words(result)


def test_a_loss_standard_error_equals_one_by_hand():
    result = compare(_renamed(mse=jnp.square), {"sgd": (sgd, {"learning_rate": 0.01})}, **QUIET)
    task = regression()
    errors = []
    for seed in result.contestants["sgd"].retraining.seeds:
        key = jax.random.fold_in(jax.random.key(0), seed)
        w = lropt_jax.fit(task, sgd(0.01), 20, key=key).params
        squares = (task.test["x"] @ w["w"] + w["b"] - task.test["y"]) ** 2
        errors.append(np.std(squares) ** 2 / len(squares))
    error = result.table().loc["sgd", "test_mse_standard_error"]
    assert error == pytest.approx(np.sqrt(np.mean(errors)), rel=1e-3)


def test_what_matters_is_said_and_less_is_a_tie():
    entries = {"first": (sgd, RATES), "again": (sgd, RATES), "other": (adam, RATES)}
    same = compare(regression(), entries, **QUIET)
    accuracies = same.contestants[same.ranking[0]].final("test_accuracy")
    least = max(np.std(accuracies, ddof=1) / 4, 1 / len(regression().test["y"]))
    assert same.smallest_difference == pytest.approx(least)
    pair = next(t for t in same.tests() if {t.first, t.second} == {"first", "again"})
    assert pair.tie
    assert pair.difference == 0
    said = [p.said for row in pairs_of(same).rows for p in row.pairs if "other" not in p.said]
    assert [words.rpartition("; ")[2] for words in said] == ["tied"]
    assert "no order" in same.recommendation or same.ranking[0] == "other"
    far = compare(regression(), entries, **QUIET, select="valid_loss", smallest_difference=1e6)
    assert all(t.tie for t in far.tests())
    assert "is better" not in str(pairs_of(far).rows)
    assert "no order" in far.recommendation
    if any(t.significant for t in far.tests()):
        assert "1e+06" in verdict(far) or "No significant" in verdict(far)
    with pytest.raises(ValueError, match="smallest_difference must be at least 0, got -1"):
        compare(regression(), entries, **QUIET, smallest_difference=-1)


def test_a_clear_winner_is_recommended_with_a_line_that_makes_it():
    entries = {
        "slow": (sgd, {"learning_rate": 1e-6}),
        "fast": (sgd, {"learning_rate": 0.1, "momentum": 0.5}),
    }
    result = compare(regression(), entries, **QUIET, select="valid_loss")
    assert result.recommendation.startswith("Take fast")
    assert "no order" not in result.recommendation
    assert result.recommendation.optimizer == "fast"
    assert result.recommendation.code == "lropt_jax.sgd(learning_rate=0.1, momentum=0.5)"
    assert result.recommendation.code in result.recommendation
    made = eval(result.recommendation.code, {"lropt_jax": lropt_jax})
    assert lropt_jax.hyperparams(made.init({"w": jnp.zeros(2)}))["momentum"] == 0.5


def test_the_line_names_what_can_be_imported():
    entries = {
        "optax": (optax.adam, {"learning_rate": 0.1}),
        "mine": (_momentum, {"learning_rate": 0.1}),
        "lambda": (lambda learning_rate: sgd(learning_rate), {"learning_rate": 0.1}),
    }
    codes = {n: c.code for n, c in compare(regression(), entries, **QUIET).contestants.items()}
    assert codes == {
        "optax": "optax.adam(learning_rate=0.1)",
        "mine": f"{__name__}._momentum(learning_rate=0.1)",
        "lambda": "optimizers['lambda'][0](learning_rate=0.1)",
    }


def test_what_to_doubt_is_said(tmp_path):
    entries = {"sgd": (sgd, {"learning_rate": [0.001, 0.01, 0.05]})}
    result = compare(regression(), entries, **{**QUIET, "tuning_seeds": 1}, select="valid_loss")
    words = "\n".join(result.warnings)
    assert "sgd: learning rate 0.05 lies on the edge of what was tried" in words
    assert "rests on one tuning seed" in words
    assert "rest on 3 seeds" in words
    assert comparison_table(result).rows[0][-1] == "0.05 (edge)"
    result.report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "each configuration was tried on a single seed" in page
    assert "lies on the edge of what was tried" in page
    assert "rests on one tuning seed" not in page  # said once


def test_the_costs_are_columns():
    result = compare(
        regression(), {"sgd": (sgd, RATES), "adam": (adam, RATES)}, **QUIET, eval_every=2,
        select="valid_loss",
    )  # fmt: skip
    table = result.table()
    curves = {n: c.retraining.values["valid_loss"][0] for n, c in result.contestants.items()}
    target = np.median([curve[:, -1].mean() for curve in curves.values()])
    assert result.target == pytest.approx(target)
    for name, curve in curves.items():
        steps = [
            next((2 * (i + 1) for i, v in enumerate(row) if v <= target), np.inf) for row in curve
        ]
        assert table.loc[name, "steps_to_target"] == np.median(steps)
    # The learning rates' losses on validation data, against the loss before training.
    tuning = result.contestants["sgd"].tuning
    task = regression()
    starts = []
    for seed in range(2):
        init_key = jax.random.split(jax.random.fold_in(jax.random.key(0), seed))[0]
        w = task.init(init_key)[0]
        starts.append(np.mean(task.evaluate(w, {}, task.valid)["loss"]))
    start = np.mean(starts)
    assert result.protocol.start["valid_loss"] == pytest.approx(start, rel=1e-5)
    order = np.argsort([t["learning_rate"] for t in tuning.trials])
    rates = np.log([tuning.trials[i]["learning_rate"] for i in order])
    losses = np.fmin(tuning.means("valid_loss")[order], start)
    mean = np.trapezoid(losses - losses.min(), rates) / (rates[-1] - rates[0])
    assert table.loc["sgd", "lr_sensitivity"] == pytest.approx(mean, rel=1e-5)
    assert table.loc["sgd", "basin_decades"] >= 0
    seconds = result.step_seconds
    assert set(seconds) == {"sgd", "adam"}
    assert all(s > 0 for s in seconds.values())
    fixed = compare(
        regression(), {"sgd": (sgd, {"learning_rate": 0.01})}, **QUIET, target=0.5
    ).table()
    assert np.isnan(fixed.loc["sgd", "lr_sensitivity"])
    with pytest.raises(ValueError, match="target must be a finite number"):
        compare(regression(), {"sgd": (sgd, RATES)}, **QUIET, target=np.nan)


def test_splits_are_dealt_from_all_examples_and_repeat_the_whole_comparison(tmp_path):
    task = regression()
    key = np.array([0, 7], np.uint32)
    again = redrawn(task, 1, key)
    assert redrawn(task, 0, key) is task
    assert again.num_examples == task.num_examples
    every = [np.concatenate([np.asarray(s["y"]) for s in t.splits.values()]) for t in (task, again)]
    np.testing.assert_array_equal(np.sort(every[0]), np.sort(every[1]))
    assert not np.array_equal(*every)
    np.testing.assert_array_equal(redrawn(task, 1, key).test["x"], again.test["x"])
    assert not np.array_equal(redrawn(task, 2, key).test["x"], again.test["x"])

    entries = {"sgd": (sgd, RATES), "adam": (adam, RATES)}
    result = compare(task, entries, **QUIET, splits=3, directory=tmp_path)
    assert len(result.all) == 3
    single = compare(task, entries, **QUIET)
    frame = result.to_pandas()
    assert set(frame.split) == {0, 1, 2}
    pd.testing.assert_frame_equal(
        frame[frame.split == 0].reset_index(drop=True), single.to_pandas()
    )
    means = [o.contestants["sgd"].final("test_loss").mean() for o in result.all]
    assert len(set(means)) == 3
    from scipy import stats

    half = stats.t.ppf(0.975, 2) * np.std(means, ddof=1) * np.sqrt(1 / 3 + 30 / 40)
    row = result.table().loc["sgd"]
    assert row["test_loss"] == pytest.approx(np.mean(means))
    assert row["test_loss_interval"] == pytest.approx(half)
    assert row["finished"] == 9
    assert "repeated on 3 splits" in protocol_words(result)
    assert "paired over splits" in verdict(result)
    result.report(tmp_path / "report")
    with pytest.raises(ValueError, match="splits=2 needs a Task"):
        compare(lambda: task, {"sgd": (sgd, RATES)}, splits=2)


def test_a_comparison_is_short_to_look_at_saved_and_pickled(tmp_path):
    result = compare(regression(), {"sgd": (sgd, RATES), "adam": (adam, RATES)}, **QUIET)
    assert len(repr(result).splitlines()) <= 4
    assert len(repr(result)) < 400
    assert "best test_accuracy" in repr(result)
    assert len(repr(result.contestants["sgd"])) < 200
    tuning = result.contestants["sgd"].tuning
    assert len(repr(tuning)) < 400
    assert f"Best valid_loss: {tuning.best().value:.4g}" in repr(tuning)
    assert tuning._repr_html_().startswith("<p>SweepResult of ")
    html = result._repr_html_()
    assert html.startswith("<table>")
    assert "adam" in html
    result.save(tmp_path / "rows.parquet")
    back = pd.read_parquet(tmp_path / "rows.parquet")
    assert len(back) == len(result.to_pandas())
    with pytest.raises(ValueError, match=r"\.parquet or \.csv"):
        result.save(tmp_path / "rows.txt")
    again = pickle.loads(pickle.dumps(result))
    pd.testing.assert_frame_equal(again.table(), result.table())
    assert again.recommendation == result.recommendation
    assert again.recommendation.code == result.recommendation.code
    with pytest.raises(ValueError, match="this comparison was pickled"):
        again.trained(next(iter(again.contestants)))


def test_every_figure_is_drawn(tmp_path):
    result = compare(
        regression(), {"sgd": (sgd, RATES), "lost": (sgd, {"learning_rate": 1e12})}, **QUIET,
        eval_every=5,
    )  # fmt: skip
    for name in ("learning_curves", "learning_rates", "generalization_gap", "budget"):
        figure = getattr(result, f"plot_{name}")()
        figure.savefig(tmp_path / f"{name}.png")
        assert figure.axes


def test_numbers_that_are_structure_are_compiled_in_when_retrained_too():
    def repeated(learning_rate, times):
        assert isinstance(times, int)  # Python counts with it
        return optax.chain(*[optax.scale(1.0)] * times, sgd(learning_rate))

    space = {**RATES, "times": choice([1, 2], static=True)}
    result = compare(regression(), {"repeated": (repeated, space)}, **QUIET)
    assert result.contestants["repeated"].chosen["times"] in (1, 2)
    assert result.contestants["repeated"].finished == 3


def test_a_space_that_runs_out_ends_the_search_for_more():
    def every(n, learning_rate=0.01):
        return sgd(learning_rate / n)

    entries = {"few": (every, {"n": integer(1, 3)}), "many": (sgd, RATES)}
    result = compare(regression(), entries, trials=6, **QUIET, select="valid_loss")
    assert result.contestants["few"].configurations == 3
    assert result.contestants["many"].configurations > 3
    assert not result.equal_budgets


def test_a_tie_widens_no_grid_where_one_of_the_equals_lies_inside():
    constant = _renamed(loss=jnp.square, accuracy=jnp.ones_like)
    result = compare(constant, {"sgd": (sgd, RATES)}, **QUIET)
    contestant = result.contestants["sgd"]
    assert contestant.widened == 0
    assert contestant.chosen["learning_rate"] == 0.01
    assert not contestant.at_edge


@pytest.mark.filterwarnings("ignore:.*again")
def test_a_retrained_model_is_to_be_had():
    result = compare(
        regression(), {"sgd": (sgd, RATES), "lost": (sgd, {"learning_rate": 1e12})}, **QUIET
    )
    contestant = result.contestants["sgd"]
    seed = contestant.retraining.seeds[1]
    model = result.trained("sgd", seed)
    task = regression()
    loss = np.mean(task.evaluate(model.params, model.model_state, task.test)["loss"])
    assert loss == pytest.approx(contestant.final("test_loss")[1], rel=1e-5)
    assert not any("deviation" in name for name in model.history)
    assert result.trained("sgd").params["w"].shape == (3,)
    with pytest.raises(ValueError, match="unknown optimizer 'sdg'; did you mean 'sgd'"):
        result.trained("sdg")
    with pytest.raises(ValueError, match="lost has no retrained model: every configuration"):
        result.trained("lost")
    with pytest.raises(ValueError, match="seed must be one of"):
        result.trained("sgd", 3)


@pytest.mark.parametrize("seeds", [2, 4])
def test_a_directory_grows_by_seeds(tmp_path, seeds):
    """The width that a comparison takes by itself goes by its seeds; who began with fewer goes on
    with what there is."""
    entries = {"sgd": (sgd, RATES), "adam": (adam, {"learning_rate": log_grid(1e-6, 1e-5, 3)})}
    given = {**QUIET, "directory": tmp_path}
    first = compare(regression(), entries, **{**given, "seeds": seeds})
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("tuning/*/*.npz")}
    second = compare(regression(), entries, **{**given, "seeds": 9})
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("tuning/*/*.npz")} == kept != {}
    for name, contestant in second.contestants.items():
        before = first.contestants[name]
        assert contestant.chosen == before.chosen
        assert contestant.retraining.width == before.retraining.width
        np.testing.assert_array_equal(
            contestant.final("test_loss")[:seeds], before.final("test_loss")
        )
        assert contestant.finished == 9
