"""The table of `docs/coming_from.md` against the live PyTorch, and Keras where it is installed."""

from __future__ import annotations

import importlib.util
import inspect
import os
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import crossings
from tests.crossings import RATE, START

torch = pytest.importorskip("torch")
schedulers = torch.optim.lr_scheduler


def test_every_class_of_torch_has_its_row() -> None:
    listed = {row.left.split("(")[0] for row in crossings.of("PyTorch")}
    optimizers = {name for name, _ in inspect.getmembers(torch.optim, inspect.isclass)}
    classes = inspect.getmembers(schedulers, inspect.isclass)
    of_rates = {n for n, c in classes if c.__module__ == schedulers.__name__ and n[0] != "_"}
    assert len(optimizers) > 12
    assert len(of_rates) > 12
    assert {f"optim.{name}" for name in optimizers} - listed == set()
    assert {f"lr_scheduler.{name}" for name in of_rates} - listed == set()
    assert "swa_utils.SWALR" in listed


@pytest.fixture
def in_float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.set_default_dtype(before)


def _parameters() -> list[Any]:
    return [torch.nn.Parameter(torch.tensor(w)) for w in START]


@pytest.mark.parametrize("row", crossings.measured("PyTorch", "optim."), ids=lambda row: row.left)
def test_equal_means_equal_to_torch(row: crossings.Row, in_float64: None) -> None:
    params = _parameters()
    optimizer = eval(row.left, {"optim": torch.optim, "params": params, "rate": RATE})

    def update(grads: list[np.ndarray], _: int) -> list[np.ndarray]:
        for p, g in zip(params, grads, strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
        return [p.detach().numpy().copy() for p in params]

    crossings.check(row, crossings.path(update))


@pytest.mark.parametrize(
    "row", crossings.measured("PyTorch", "lr_scheduler.", "swa_utils."), ids=lambda row: row.left
)
def test_a_schedule_is_equal_to_torch(row: crossings.Row, in_float64: None) -> None:
    optimizer = torch.optim.SGD(_parameters(), RATE)
    known = {"lr_scheduler": schedulers, "swa_utils": torch.optim.swa_utils}
    known |= {"optimizer": optimizer, "rate": RATE}
    scheduler, values = eval(row.left, known), []
    for _ in range(crossings.COUNTS):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(*([1.0] if "Plateau" in row.left else []))
    crossings.check(row, np.array(values))


@pytest.fixture
def keras(in_float64: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "jax")
    package = pytest.importorskip("keras")
    before = package.backend.floatx()
    package.backend.set_floatx("float64")
    yield package
    package.backend.set_floatx(before)


def test_every_class_of_keras_has_its_row(keras: Any) -> None:
    listed = {row.left.split("(")[0] for row in crossings.of("Keras")}
    for module, name in (
        (keras.optimizers, "keras.optimizers"),
        (keras.optimizers.schedules, "keras.optimizers.schedules"),
    ):
        classes = {f"{name}.{found}" for found, _ in inspect.getmembers(module, inspect.isclass)}
        assert classes
        assert classes - listed == set()


@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="Keras is not installed")
@pytest.mark.parametrize(
    "row", crossings.measured("Keras", "keras.optimizers."), ids=lambda row: row.left
)
def test_equal_means_equal_to_keras(row: crossings.Row, keras: Any) -> None:
    if "clipnorm" in row.left or "gradient_accumulation" in row.left:
        pytest.skip("these differ as the row says, or are another shape of thing")
    made = eval(row.left, {"keras": keras, "rate": RATE})
    if ".schedules." in row.left:
        crossings.check(row, crossings.values(made))
        return
    variables = [keras.Variable(w, name=f"w{i}") for i, w in enumerate(START)]
    made.build(variables)

    def update(grads: list[np.ndarray], _: int) -> list[np.ndarray]:
        made.apply([jnp.array(g) for g in grads], variables)
        return [np.array(v.value) for v in variables]

    crossings.check(row, crossings.path(update))
