"""Values of any kind: what a space takes, a result can be asked, saved, shown, and pasted."""

from __future__ import annotations

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax
from lropt_jax import (
    adam,
    choice,
    compare,
    constant,
    cosine_decay,
    grid,
    linear,
    load_sweep,
    local_gains,
    log_grid,
    log_uniform,
    one_cycle,
    piecewise_constant,
    reduce_on_plateau,
    schedule,
    sequence,
    sgd,
    tunable,
    uniform,
    warmup,
)
from lropt_jax.optimizers.code_lines import call, name_of, value_code
from lropt_jax.sweeps.planning.draws import draw
from lropt_jax.sweeps.planning.values import identity, same_as
from lropt_jax.sweeps.results.words import recommendation

from .sweep_problems import run, task

ARRAYS = np.array([1.0, 2.0]), np.array([3.0, 2.0])


def by_layers(learning_rate, layers):
    return sgd(learning_rate / len(layers))


def by_array(learning_rate, scale):
    return sgd(learning_rate * scale[0])


def by_function(make, rate):
    return make(rate)


def clashing(rate, seed, step, value, status, trial, metric):
    return sgd(rate + 0 * (seed + step + value + status + trial + metric))


@pytest.mark.parametrize(
    ("space", "values"),
    [
        ({"layers": [[8], [8, 8]]}, [[8], [8, 8]]),
        ({"layers": [(8,), (8, 4)]}, [(8,), (8, 4)]),
        ({"layers": [[8, 8]]}, [[8, 8]]),
        ({"layers": choice([[8], [8, 4]])}, [[8], [8, 4]]),
        ({"layers": range(2)}, [0, 1]),
        ({"layers": jnp.array([1, 2])}, [1, 2]),
        ({"layers": [jnp.float32(0.5), np.array(2), jnp.array(3)]}, [0.5, 2, 3]),
        ({"layers": np.array(0.5)}, [0.5]),
        ({"layers": {"a": 1}}, [{"a": 1}]),
    ],
)
def test_a_list_is_the_grid_of_what_is_in_it(space, values):
    drawn = [point["layers"] for point in draw(space, None)]
    assert drawn == values
    assert [type(one) for one in drawn] == [type(one) for one in values]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: uniform("a", 1), "uniform: low must be a number, got 'a'"),
        (lambda: log_grid(1, None, 3), "log_grid: high must be a number, got None"),
        (lambda: log_uniform(True, 2), "log_uniform: low must be a number, got True"),
        (lambda: choice(uniform(0, 1), 2.0), "choice: a value cannot be a space itself"),
        (lambda: draw({"a": [grid(1, 2), 3]}, None), "space: a: a value cannot be a space"),
    ],
)
def test_what_is_no_value_is_refused(made, words):
    with pytest.raises(ValueError, match=words):
        made()


@pytest.mark.parametrize(
    ("space", "trials", "seeds", "words"),
    [
        ({"learning_rate": log_uniform(0.1, 1)}, 10**8, 1, "trials must be at most 100,000, got"),
        ({"learning_rate": 0.1}, None, 10**9, "seeds must be at most 1,000,000, got"),
        ({"learning_rate": log_uniform(0.1, 1)}, 2000, 1000, "2,000 configurations x 1,000 seeds"),
        (
            {name: log_grid(0.1, 0.9, 1000) for name in ("learning_rate", "momentum", "l2")},
            None,
            1,
            "full grid must be at most 100,000, got 1,000,000,000",
        ),
    ],
)
def test_more_than_a_sweep_plans_is_refused_before_it_is_drawn(space, trials, seeds, words):
    with pytest.raises(ValueError, match=words):
        run(space, sgd, trials=trials, seeds=seeds)


def test_values_are_told_apart_by_what_is_in_them():
    assert identity([1, [2, ARRAYS[0]]]) == identity([1, [2, ARRAYS[0].copy()]])
    assert identity([ARRAYS[0]]) != identity([ARRAYS[1]])
    assert identity({"a": 1, "b": [2]}) == identity({"b": [2], "a": 1})
    assert identity(True) != identity(1)
    assert same_as({"a": 1, "b": None}) == same_as({"b": None, "a": 1.0})


SPACES = {
    "schedules": (sgd, {"learning_rate": [constant(0.1), warmup(one_cycle(0.1, 20), 3)]}),
    "a number or a schedule": (sgd, {"learning_rate": [0.1, cosine_decay(0.1, 20)]}),
    "arrays": (by_array, {"learning_rate": [0.1, 0.2], "scale": choice(*ARRAYS)}),
    "lists": (by_layers, {"learning_rate": 0.1, "layers": [[8], [8, 4]]}),
    "scalars": (sgd, {"learning_rate": [jnp.float32(0.5), jnp.array(0.25)]}),
    "infinite": (local_gains, {"learning_rate": 0.1, "max_gain": [2.0, float("inf")]}),
    "functions": (by_function, {"make": [adam, optax.sgd], "rate": [0.01, 0.1]}),
    "columns": (clashing, {"rate": [0.1, 0.2], **dict.fromkeys(
        ("seed", "step", "value", "status", "trial", "metric"), 3.0)}),
    "marks": (lambda rate, tuple, shown: sgd(rate * tuple * shown),
              {"rate": 0.1, "tuple": [1.0, 2.0], "shown": 1.0}),
}  # fmt: skip


@pytest.mark.parametrize("kind", SPACES)
def test_whatever_was_swept_can_be_read_saved_shown_and_pasted(kind, tmp_path):
    pytest.importorskip("pandas")
    optimizer, space = SPACES[kind]
    result = run(space, optimizer, steps=4, eval_every=2, directory=tmp_path / "sweep")
    frame = result.to_pandas()
    assert frame["seed"].eq(0).all()
    assert set(frame["step"]) == {2, 4}
    assert frame["value"].to_numpy() == pytest.approx(
        np.concatenate([v.ravel() for v in result.values.values()])
    )
    for name, value in result.trials[-1].items():
        column = name if name in frame and kind != "columns" else f"config_{name}"
        column = name if column not in frame else column
        if isinstance(value, float):
            assert frame[column].iloc[-1] == value
    assert result.to_xarray().sizes["trial"] == len(result.trials)
    result.save(tmp_path / "table.parquet")
    back = load_sweep(tmp_path / "sweep")
    if kind != "functions":
        again = [{k: value_code(v) for k, v in t.items()} for t in back.trials]
        assert again == [{k: value_code(v) for k, v in t.items()} for t in result.trials]
    metric, mode = result.metric_and_mode(None, None)
    code = recommendation(result, metric, mode).code
    names = {"lropt_jax": lropt_jax, "optax": optax, "numpy": np, "optimizer": optimizer}
    made = eval(code, {**names, "tests": __import__("tests.test_sweep_values")})
    made.init({"w": jnp.zeros(3)})
    assert isinstance(result.cautions(), list)
    assert len(result.to_optuna().trials) == len(result.trials)
    assert list(result.figures())


def test_a_report_of_arrays(tmp_path):
    optimizer, space = SPACES["arrays"]
    page = run(space, optimizer, steps=4, eval_every=2).report(tmp_path)
    assert "[3. 2.]" in page.read_text("utf-8")


@schedule
def mine(count, peak: float, rate: float = 2.0):
    return peak / (1 + rate * count)


@pytest.mark.parametrize(
    "made",
    [
        linear(0.1, 0.0, 10),
        piecewise_constant([5, 10], [0.1, 0.2, 0.3]),
        sequence([constant(0.1), linear(0.2, 0, 10)], [5]),
        reduce_on_plateau(0.1, mode="max", patience=3),
        2.0 * linear(0.1, 0, 10),
        linear(0.1, 0, 10) * cosine_decay(1.0, 10),
        warmup(mine(0.1), 5),
        one_cycle(0.1, 20, anneal="linear", three_phase=True),
    ],
)
def test_a_schedule_is_written_as_code_that_makes_it_again(made):
    again = eval(value_code(made), {"lropt_jax": lropt_jax, "mine": mine})
    assert [float(again(i)) for i in (0, 3, 7, 15)] == [float(made(i)) for i in (0, 3, 7, 15)]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (float("inf"), 'float("inf")'),
        ((1,), "(1,)"),
        ([0.5, None, "a"], "[0.5, None, 'a']"),
        ({"a": ARRAYS[0]}, "{'a': numpy.array([1.0, 2.0], 'float64')}"),
        (adam, "lropt_jax.adam"),
        (tunable(optax.lion), "optax.lion"),
        (optax.contrib.muon, "optax.contrib.muon"),
        (jnp.float32, "jax.numpy.float32"),
        (lambda rate: sgd(rate), "it"),
        (functools.partial(adam, b1=0.8), "it"),
        (object(), "it"),
    ],
)
def test_a_value_is_written_as_code(value, code):
    assert value_code(value, "it") == code
    assert call("f", {"it": value}) == f"f(it={code})"


def test_where_a_function_can_be_imported_from():
    assert name_of("x", cosine_decay) == "lropt_jax.cosine_decay"
    assert name_of("x", by_layers) == "tests.test_sweep_values.by_layers"


def test_results_of_several_spaces_keep_what_is_the_tasks():
    a = run({"learning_rate": [0.1]}, steps=4, eval_every=2)
    b = run({"learning_rate": [0.1], "batch_size": [4]}, steps=4, eval_every=2)
    both = a.joined(dataclasses.replace(b, by=("valid_loss", "max")))
    assert both.of_task == ("batch_size",)


def test_a_comparison_of_values_of_any_kind(tmp_path):
    pytest.importorskip("pandas")

    def named(optimizer, phase, finished, seed):
        return optimizer(phase + 0 * (finished + seed))

    optimizers = {
        "lists": (by_layers, {"learning_rate": log_grid(0.1, 1, 3), "layers": choice([8], [8, 4])}),
        "arrays": (by_array, {"learning_rate": 0.1, "scale": choice(*ARRAYS)}),
        "schedules": (sgd, {"learning_rate": [linear(0.1, 0, 4), cosine_decay(0.2, 4)]}),
        "names": (named, {"optimizer": [adam, sgd], "phase": 0.1, "finished": 0.0, "seed": 7.0}),
    }  # fmt: skip
    result = compare(
        task(), optimizers, steps=4, seeds=3, tuning_seeds=1, strategy="vmap", width=4,
        progress=False,
    )  # fmt: skip
    assert all(len(c.retraining.trials) == 1 for c in result.contestants.values())
    assert list(result.table().index) == list(optimizers)
    assert result.table()["finished"].tolist() == [3, 3, 3, 3]
    frame = result.to_pandas()
    assert set(frame["optimizer"]) == set(optimizers)
    assert set(frame["phase"]) == {"tune", "retrain"}
    assert frame["config_seed"].dropna().eq(7.0).all()
    result.save(tmp_path / "rows.parquet")
    assert result.report(tmp_path / "report").exists()
    names = {"lropt_jax": lropt_jax, "numpy": np, "optimizers": optimizers}
    for contestant in result.contestants.values():
        code = contestant.code.replace("tests.test_sweep_values.", "")
        eval(code, {**names, "by_layers": by_layers, "by_array": by_array}).init({"w": jnp.ones(2)})


def test_a_grid_is_widened_only_to_what_the_optimizer_takes():
    """The best momentum is the highest; beyond 1, where the grid would go on, is none."""
    optimizers = {"sgd": (sgd, {"learning_rate": 0.1, "momentum": log_grid(0.5, 0.9, 3)})}
    result = compare(
        task(), optimizers, steps=40, seeds=2, tuning_seeds=1, select="train_loss",
        progress=False, strategy="vmap", width=4,
    )  # fmt: skip
    chosen = result.contestants["sgd"]
    assert chosen.chosen["momentum"] == 0.9
    assert chosen.at_edge
    assert chosen.widened == 0


def test_a_result_does_not_replace_another_sweeps(tmp_path):
    space = {"learning_rate": [0.1, 0.2]}
    of_sgd = run(space, sgd, steps=4, eval_every=2, directory=tmp_path)
    of_adam = run(space, adam, steps=4, eval_every=2)
    of_sgd.save(tmp_path)  # its own
    with pytest.raises(ValueError, match="is that of another sweep"):
        of_adam.save(tmp_path)
    assert load_sweep(tmp_path).best().value == of_sgd.best().value
    for trial in (1.5, "1", True, 2):
        with pytest.raises(ValueError, match=r"trial must be in \[0, 2\), got"):
            of_sgd.trained(trial)
