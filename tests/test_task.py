"""What `Task` refuses, and what `check_task` finds without running anything."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lropt_jax
from lropt_jax import Task
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
    ],
)
def test_bad_data_are_one_clear_error(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        _task(**changes)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_functions_must_be_functions() -> None:
    with pytest.raises(TypeError, match="loss must be a function"):
        _task(loss=3)


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
