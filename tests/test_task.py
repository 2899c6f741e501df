"""What `Task` refuses, and what `check_task` finds without running anything."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import lropt_jax
from lropt_jax import Task, fit, log_grid, lr_range_test, sgd, sweep
from lropt_jax.tasks.task import check_task


def _error(w: Any, batch: Any) -> Any:
    return (batch["x"] @ w - batch["y"]) ** 2


def _task(**changes: Any) -> Task:
    fields: dict[str, Any] = {
        "init": lambda key: (jax.random.normal(key, (3,)), {"seen": jnp.zeros(())}),
        "loss": lambda w, state, batch, key: (_error(w, batch).mean(), (state, {})),
        "evaluate": lambda w, state, batch: {"loss": _error(w, batch)},
        "train": _split(10),
        "batch_size": 4,
    }
    return Task(**(fields | changes))


def _split(n: int) -> dict[str, np.ndarray]:
    return {"x": np.ones((n, 3), np.float32), "y": np.zeros(n, np.float32)}


def test_it_counts_examples_and_steps() -> None:
    task = _task(valid=_split(5), test=_split(7))
    assert task.num_examples == {"train": 10, "valid": 5, "test": 7}
    assert list(task.splits) == ["train", "valid", "test"]
    assert task.steps_per_epoch == 2
    assert _task(batch_size=10).steps_per_epoch == 1
    check_task(task)


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        _task().batch_size = 3  # type: ignore[misc]


def test_jax_and_numpy_data_of_any_structure_are_taken() -> None:
    loss = lambda w, state, batch, key: (jnp.mean(batch[0]) + w, (state, {}))  # noqa: E731
    evaluate = lambda w, state, batch: {"loss": batch[0].mean(1)}  # noqa: E731
    train = (jnp.ones((6, 2)), {"more": np.ones((6, 1), np.int64)})
    init = lambda key: (jnp.ones(()), ())  # noqa: E731
    check_task(Task(init, loss, evaluate, train, batch_size=np.int64(2)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 11}, ["batch_size", "10 training examples", "11"]),
        ({"batch_size": 0}, ["batch_size", "got 0"]),
        ({"batch_size": -1}, ["batch_size", "got -1"]),
        ({"batch_size": 2.0}, ["batch_size", "whole number", "2.0"]),
        ({"batch_size": True}, ["batch_size", "whole number", "True"]),
        ({"train": _split(0)}, ["train is empty"]),
        ({"valid": _split(0)}, ["valid is empty"]),
        ({"test": _split(0)}, ["test is empty"]),
        ({"train": None}, ["train", "None"]),
        ({"train": {}}, ["train holds no arrays"]),
        ({"train": {"x": np.ones((10, 3)), "y": np.ones(9)}}, ["train", "[10,3]", "[9]"]),
        ({"train": {"x": np.ones((10, 3)), "y": np.float32(1)}}, ["train", "leading axis"]),
        ({"train": {"x": [1, 2]}}, ["train", "pytree of arrays"]),
        ({"valid": {"x": np.ones((5, 3), np.float32)}}, ["valid", "structure"]),
        ({"test": {"x": np.ones((5, 4)), "y": np.ones(5)}}, ["test", "float32[4]", "float32[3]"]),
        ({"test": {"x": np.ones((5, 3)), "y": np.ones(5, int)}}, ["test", "int32", "float32"]),
        ({"train": np.array([[1, 2**31]])}, ["train", "2147483648", "int32", "enable_x64"]),
        ({"train": np.array([[1, -(2**31) - 1]])}, ["train", "-2147483649"]),
        ({"train": np.array([2**32], np.uint64)}, ["train", "4294967296", "uint32"]),
        ({"train": np.array([[1e40]])}, ["train", "1e+40", "float32"]),
        ({"train": np.array(["cat", "dog"])}, ["train", "numbers", "numpy.unique"]),
        ({"train": np.array([[1, 2], [3]], object)}, ["train", "numbers", "object"]),
        ({"train": np.array(["2020-01-01"], "datetime64[D]")}, ["train", "datetime64"]),
    ],
)
def test_bad_data_are_one_clear_error(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        _task(**changes)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_functions_must_be_functions() -> None:
    for name in ("loss", "summarize", "predict"):
        with pytest.raises(TypeError, match=f"{name} must be a function"):
            _task(**{name: 3})


@pytest.mark.filterwarnings("error")
def test_numpy_of_64_bits_trains_without_a_warning() -> None:
    train = {"x": np.ones((10, 3)), "y": np.arange(10)}
    task = _task(train=train, valid=train)
    assert {k: v.dtype for k, v in task.train.items()} == {"x": np.float32, "y": np.int32}
    fit(task, sgd(0.01), 2)
    sweep(task, sgd, {"learning_rate": log_grid(0.01, 0.1, 2)}, steps=2, progress=False)
    lr_range_test(task, sgd, steps=3, seeds=2)


def test_numpy_of_64_bits_stays_so_where_jax_has_them(x64: None) -> None:
    ids = np.array([2**40, 3])
    task = _task(train={"x": np.ones((2, 3)), "y": ids}, batch_size=2)
    assert task.train["y"] is ids
    assert task.train["x"].dtype == np.float64


def test_arrays_that_need_no_change_are_not_copied() -> None:
    split = _split(10)
    task = _task(train=split, valid={"x": jnp.ones((5, 3)), "y": np.zeros(5, np.float32)})
    assert all(task.train[k] is split[k] for k in split)


def test_frames_are_taken_with_columns_of_several_kinds() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [0.5, 1, 2], "c": [True, False, True]})
    whole = pd.array([1, 2, 3], dtype="Int64")
    task = _task(train={"x": frame, "y": pd.Series(whole)}, batch_size=2)
    np.testing.assert_array_equal(task.train["x"], [[1, 0.5, 1], [2, 1, 0], [3, 2, 1]])
    assert (task.train["x"].dtype, task.train["y"].dtype) == (np.float32, np.int32)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (pd.DataFrame({"a": [1], "name": ["Ada"]}), ["columns name", "get_dummies"]),
        (pd.DataFrame({"a": [1], "day": pd.to_datetime(["2020-01-01"])}), ["columns day"]),
        (pd.Series(["cat", "dog"]), ["pandas.Series", "numpy.unique"]),
        (pd.Series([1, None], dtype="Int64"), ["train"]),
    ],
)
def test_frames_without_numbers_name_their_columns(x: Any, words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        _task(train={"x": x})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_summaries_are_of_the_whole_split_and_hide_their_inputs() -> None:
    """2,500 examples: two chunks and a half. Perplexity is no mean of perplexities."""
    rng = np.random.default_rng(0)
    valid = {"x": rng.normal(size=(2500, 3)), "y": rng.normal(size=2500)}

    def evaluate(w: Any, state: Any, batch: Any) -> Any:
        return {"loss": _error(w, batch), "_x": batch["x"]}

    def summarize(means: Any) -> Any:
        variance = jnp.sum(means["_x"] ** 2)
        return {"perplexity": jnp.exp(means["loss"]), "spread": variance, "_hidden": variance}

    task = _task(valid=valid, evaluate=evaluate, summarize=summarize)
    check_task(task)
    assert task.metric_names == ["loss", "perplexity", "spread"]
    space = {"learning_rate": log_grid(1e-3, 1e-2, 3)}
    result = sweep(task, sgd, space, seeds=2, steps=2, progress=False, strategy="vmap")
    shown = {"train_loss", "valid_loss", "valid_perplexity", "valid_spread"}
    assert set(result.to_pandas()["metric"]) == shown
    history = fit(task, sgd(0.0), 1, key=3).history
    w = task.init(jax.random.split(jax.random.key(3))[0])[0]
    loss = np.mean((valid["x"] @ np.asarray(w, float) - valid["y"]) ** 2)
    np.testing.assert_allclose(history["valid_loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(history["valid_perplexity"], np.exp(loss), rtol=1e-4)
    spread = np.sum(valid["x"].mean(0) ** 2)
    np.testing.assert_allclose(history["valid_spread"], spread, rtol=1e-3)
    assert "valid__x" not in history


def test_summaries_are_of_floats_whatever_evaluate_gives() -> None:
    """Truth values and whole numbers are averaged too; the check sees what the loop gives."""

    def evaluate(w: Any, state: Any, batch: Any) -> Any:
        loss = _error(w, batch)
        return {"loss": loss, "hit": loss < 1, "_whole": jnp.ones(loss.shape, jnp.int8)}

    def summarize(means: Any) -> Any:
        return {"error": 1 + -means["hit"], "half": -means["_whole"].at[()].mul(0.5)}

    task = _task(evaluate=evaluate, summarize=summarize)
    check_task(task)
    assert set(task.metric_names) == {"loss", "hit", "error", "half"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"summarize": lambda m: 1.0}, ["summarize must return a dict"]),
        ({"summarize": lambda m: {"loss": m["loss"]}}, ["summarize", "'loss'", "too"]),
        ({"summarize": lambda m: {"a": jnp.ones(2)}}, ["summarize", "'a'", "[2]"]),
        ({"summarize": lambda m: {"a": m["nothing"]}}, ["summarize failed", "nothing"]),
        ({"evaluate": lambda w, s, b: {"_loss": _error(w, b)}}, ["does not begin", "_loss"]),
        ({"evaluate": lambda w, s, b: {"_loss": jnp.ones(3)}}, ["'_loss'", "(4,)", "[3]"]),
    ],
)
def test_summaries_that_do_not_fit_are_one_clear_error(
    changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ValueError) as caught:
        check_task(_task(**changes))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def _raises(*args: Any) -> Any:
    raise RuntimeError("no luck")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"init": lambda key: jnp.zeros(3)}, ["init", "(params, model_state)", "float32[3]"]),
        ({"init": lambda key: (jnp.zeros(4), {})}, ["loss failed", "float32[4,3]"]),
        ({"loss": _raises}, ["loss failed", "no luck"]),
        ({"evaluate": _raises}, ["evaluate failed", "no luck"]),
        ({"loss": lambda w, s, b, k: _error(w, b).mean()}, ["loss must return (loss, (model_"]),
        ({"loss": lambda w, s, b, k: (_error(w, b), (s, {}))}, ["scalar", "float32[4]"]),
        ({"loss": lambda w, s, b, k: (jnp.int32(1), (s, {}))}, ["scalar", "int32[]"]),
        ({"loss": lambda w, s, b, k: (jnp.sum(w), ({}, {}))}, ["model_state", "seen"]),
        (
            {"loss": lambda w, s, b, k: (jnp.sum(w), ({"seen": jnp.zeros(2)}, {}))},
            ["model_state", "float32[]", "float32[2]"],
        ),
        (
            {"loss": lambda w, s, b, k: (jnp.sum(w), ({"seen": jnp.int32(2)}, {}))},
            ["model_state", "float32[]", "int32[]"],
        ),
        ({"evaluate": lambda w, s, b: _error(w, b)}, ["evaluate", "dict", "float32[4]"]),
        ({"evaluate": lambda w, s, b: {}}, ["evaluate", "dict"]),
        (
            {"evaluate": lambda w, s, b: {"loss": _error(w, b).mean()}},
            ["'loss'", "(4,)", "float32[]"],
        ),
        (
            {"evaluate": lambda w, s, b: {"loss": b["y"] + 1j}},
            ["'loss'", "complex64[4]"],
        ),
        (
            {"loss": lambda w, s, b, k: (jnp.sum(w), (s, {"loss": jnp.sum(w)}))},
            ["metric named 'loss'", "another name"],
        ),
        (
            {"loss": lambda w, s, b, k: (jnp.sum(w), (s, {"norms": jnp.abs(w)}))},
            ["one real number", "'norms'", "float32[3]"],
        ),
        ({"loss": lambda w, s, b, k: (jnp.sum(w), (s, [1.0]))}, ["dict of metrics"]),
    ],
)
def test_functions_that_do_not_fit_are_one_clear_error(
    changes: dict[str, Any], words: list[str]
) -> None:
    task = _task(**changes)
    with pytest.raises(ValueError) as caught:
        check_task(task)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_check_computes_nothing() -> None:
    def loss(w: Any, state: Any, batch: Any, key: Any) -> Any:
        assert isinstance(w, jax.core.Tracer)
        return jnp.sum(w), (state, {})

    check_task(_task(loss=loss))


def test_importing_the_package_loads_no_optional_package() -> None:
    code = (
        "import sys, lropt_jax; "
        "heavy = 'matplotlib pandas sklearn flax scipy mnist1d torch xarray optuna rich'.split(); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_models_are_an_attribute_that_is_loaded_when_asked_for() -> None:
    assert lropt_jax.mlp is lropt_jax.tasks.models.mlp
    assert lropt_jax.resnet18 is lropt_jax.tasks.models.resnet18
    with pytest.raises(AttributeError, match="nonsense"):
        lropt_jax.nonsense  # noqa: B018
