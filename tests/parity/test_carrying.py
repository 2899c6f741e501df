"""A run that PyTorch began goes on here step by step, and back there."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax as lr
from lropt_jax import from_torch, to_torch
from tests import guides

torch = pytest.importorskip("torch")

STEPS = 7
SHAPES = [(4, 3), (4,), (2, 3, 5, 5), ()]  # in PyTorch's layout
NAMES: list[Any] = [("dense/kernel", (1, 0)), "dense/bias", ("conv/kernel", (2, 3, 1, 0)), "scale"]
AXES = [(1, 0), (0,), (2, 3, 1, 0), ()]

T = torch.optim
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sgd": (lambda p: T.SGD(p, 0.1), lambda: lr.sgd(0.1)),
    "momentum": (
        lambda p: T.SGD(p, 0.1, momentum=0.9, dampening=0.3, weight_decay=0.1),
        lambda: lr.sgd(0.1, momentum=0.9, dampening=0.3, l2=0.1),
    ),
    "nesterov": (
        lambda p: T.SGD(p, 0.1, momentum=0.9, nesterov=True),
        lambda: lr.sgd(0.1, momentum=0.9, nesterov=True),
    ),
    "adam": (
        lambda p: T.Adam(p, 0.1, (0.8, 0.95), 1e-3, weight_decay=0.1),
        lambda: lr.adam(0.1, 0.8, 0.95, 1e-3, l2=0.1),
    ),
    "adam fused": (lambda p: T.Adam(p, 0.1, fused=True), lambda: lr.adam(0.1)),
    "adam foreach": (lambda p: T.Adam(p, 0.1, foreach=True), lambda: lr.adam(0.1)),
    "adamw": (
        lambda p: T.AdamW(p, 0.1, (0.8, 0.95), weight_decay=0.2),
        lambda: lr.adamw(0.1, 0.8, 0.95, weight_decay=0.2),
    ),
    "amsgrad": (
        lambda p: T.Adam(p, 0.1, (0.8, 0.6), amsgrad=True),
        lambda: lr.amsgrad(0.1, 0.8, 0.6),
    ),
    "amsgradw": (
        lambda p: T.AdamW(p, 0.1, (0.8, 0.6), amsgrad=True, weight_decay=0.2),
        lambda: lr.amsgrad(0.1, 0.8, 0.6, weight_decay=0.2),
    ),
    "rmsprop": (lambda p: T.RMSprop(p, 0.1, alpha=0.9), lambda: lr.rmsprop(0.1, 0.9)),
    "rmsprop centered momentum": (
        lambda p: T.RMSprop(p, 0.1, alpha=0.9, centered=True, momentum=0.8, eps=1e-2),
        lambda: lr.rmsprop(0.1, 0.9, 1e-2, momentum=0.8, centered=True),
    ),
    "rmsprop momentum": (
        lambda p: T.RMSprop(p, 0.1, momentum=0.8, weight_decay=0.1),
        lambda: lr.rmsprop(0.1, momentum=0.8, l2=0.1),
    ),
    "adagrad": (
        lambda p: T.Adagrad(p, 0.1, initial_accumulator_value=0.3),
        lambda: lr.adagrad(0.1, initial_accumulator_value=0.3),
    ),
    "adagrad decay": (
        lambda p: T.Adagrad(p, 0.1, lr_decay=0.25),
        lambda: lr.adagrad(lr.inverse_time_decay(0.1, 0.25)),
    ),
    "adadelta": (
        lambda p: T.Adadelta(p, 0.7, rho=0.8, eps=1e-3),
        lambda: lr.adadelta(0.7, 0.8, 1e-3),
    ),
    "nadam": (
        lambda p: T.NAdam(p, 0.1, (0.8, 0.95), momentum_decay=0.3, weight_decay=0.1),
        lambda: lr.nadam(0.1, 0.8, 0.95, momentum_decay=0.3, l2=0.1),
    ),
    "nadamw": (
        lambda p: T.NAdam(p, 0.1, weight_decay=0.2, decoupled_weight_decay=True),
        lambda: lr.nadamw(0.1, weight_decay=0.2),
    ),
    "adamax": (lambda p: T.Adamax(p, 0.1, (0.8, 0.95)), lambda: lr.adamax(0.1, 0.8, 0.95)),
    "rprop": (
        lambda p: T.Rprop(p, 0.1, etas=(0.4, 1.3), step_sizes=(1e-3, 2.0)),
        lambda: lr.rprop(0.1, 0.4, 1.3, 1e-3, 2.0),
    ),
}


@pytest.fixture(autouse=True)
def _in_float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    torch.set_default_dtype(torch.float32)


def _gradients(step: int) -> list[np.ndarray]:
    rng = np.random.default_rng(step)
    return [np.asarray(rng.normal(size=shape)) for shape in SHAPES]


def _start() -> list[Any]:
    rng = np.random.default_rng(99)
    return [torch.nn.Parameter(torch.tensor(rng.normal(size=shape))) for shape in SHAPES]


def _ours(arrays: list[Any]) -> Any:
    kernel, bias, conv, scale = (
        jnp.array(np.array(x).transpose(axes)) for x, axes in zip(arrays, AXES, strict=True)
    )
    return {"dense": {"kernel": kernel, "bias": bias}, "conv": {"kernel": conv}, "scale": scale}


def _there(optimizer: Any, params: list[Any], steps: range) -> Iterator[Any]:
    for step in steps:
        for p, g in zip(params, _gradients(step), strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
        yield _ours([p.detach().numpy() for p in params])


def _here(tx: Any, params: Any, state: Any, steps: range) -> Iterator[tuple[Any, Any]]:
    update = jax.jit(tx.update)
    for step in steps:
        updates, state = update(_ours(_gradients(step)), state, params)
        params = optax.apply_updates(params, updates)
        yield params, state


def _same(a: Any, b: Any, step: int) -> None:
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-10, err_msg=f"{step}"), a, b
    )


@pytest.mark.parametrize("begun", [1, STEPS])
@pytest.mark.parametrize("case", CASES)
def test_there_and_back_again(case: str, begun: int) -> None:
    there, here = CASES[case]
    params = _start()
    optimizer = there(params)
    list(_there(optimizer, params, range(begun)))
    ours = _ours([p.detach().numpy() for p in params])

    tx = here()
    count = begun if "adagrad" not in case and optimizer.__class__ is T.SGD else None
    state = from_torch(tx, ours, optimizer.state_dict(), NAMES, count=count)
    assert int(state.count) == begun
    middle, end = range(begun, begun + STEPS), range(begun + STEPS, begun + 2 * STEPS)
    went_on = list(_here(tx, ours, state, middle))
    for step, theirs in zip(middle, _there(optimizer, params, middle), strict=True):
        _same(theirs, went_on[step - begun][0], step)

    ours, state = went_on[-1]
    params = [torch.nn.Parameter(p.detach().clone()) for p in params]
    optimizer = there(params)
    if case == "adagrad decay":  # the rate of now, as a number
        optimizer.load_state_dict(to_torch(tx, ours, state, NAMES))
        rate = lr.hyperparams(state)["learning_rate"]
        assert optimizer.param_groups[0]["lr"] == pytest.approx(float(rate))
        return
    optimizer.load_state_dict(to_torch(tx, ours, state, NAMES))
    went_on = list(_here(tx, ours, state, end))
    for step, theirs in zip(end, _there(optimizer, params, end), strict=True):
        _same(theirs, went_on[step - end.start][0], step)


@pytest.mark.parametrize("case", CASES)
def test_before_the_first_step(case: str) -> None:
    there, here = CASES[case]
    params = _start()
    ours, tx = _ours([p.detach().numpy() for p in params]), here()
    optimizer = there(params)
    state = from_torch(tx, ours, optimizer.state_dict(), NAMES)
    jax.tree.map(np.testing.assert_array_equal, state, tx.init(ours))
    optimizer.load_state_dict(to_torch(tx, ours, state, NAMES))
    steps = range(STEPS)
    for theirs, (mine, _) in zip(
        _there(optimizer, params, steps), _here(tx, ours, state, steps), strict=True
    ):
        if case != "adagrad decay":
            _same(theirs, mine, 0)


def test_two_param_groups_go_on_as_a_partition() -> None:
    params = _start()
    weights, others = [params[0], params[2]], [params[1], params[3]]
    groups = [{"params": weights, "lr": 0.1}, {"params": others, "lr": 0.01, "weight_decay": 0.0}]
    optimizer = T.AdamW(groups, weight_decay=0.2)
    list(_there(optimizer, params, range(STEPS)))
    ours = _ours([p.detach().numpy() for p in params])

    labels = {"dense": {"kernel": "body", "bias": "rest"}, "conv": "body", "scale": "rest"}
    labels["conv"] = {"kernel": "body"}  # type: ignore[assignment]
    parts = {"body": lr.adamw(0.1, weight_decay=0.2), "rest": lr.adamw(0.01, weight_decay=0.0)}
    tx = optax.chain(optax.clip(10.0), optax.partition(parts, labels))
    names = [NAMES[0], NAMES[2], NAMES[1], NAMES[3]]
    state = from_torch(tx, ours, optimizer.state_dict(), names)
    middle = range(STEPS, 2 * STEPS)
    went_on = list(_here(tx, ours, state, middle))
    for step, theirs in zip(middle, _there(optimizer, params, middle), strict=True):
        _same(theirs, went_on[step - STEPS][0], step)

    ours, state = went_on[-1]
    optimizer = T.AdamW([{**g, "params": p} for g, p in zip(groups, (weights, others))])  # noqa: B905
    with pytest.warns(UserWarning, match="a chain with parts beside it"):
        optimizer.load_state_dict(to_torch(tx, ours, state, names))
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.01]
    end = range(2 * STEPS, 3 * STEPS)
    for theirs, (mine, _) in zip(
        _there(optimizer, params, end), _here(tx, ours, state, end), strict=True
    ):
        _same(theirs, mine, 0)


def test_the_state_has_no_memory_in_common_with_the_tensors() -> None:
    params = _start()
    optimizer = T.Adam(params, 0.1)
    list(_there(optimizer, params, range(2)))
    ours = _ours([p.detach().numpy() for p in params])
    state = from_torch(lr.adam(0.1), ours, optimizer.state_dict(), NAMES)
    before = jax.tree.map(np.array, state)
    list(_there(optimizer, params, range(2)))
    jax.tree.map(np.testing.assert_array_equal, state, before)


def test_half_precision_and_numbers_that_are_tensors() -> None:
    params = [torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))]
    optimizer = T.Adam(params, lr=torch.tensor(0.1), betas=(0.5, 0.75), foreach=False)
    params[0].grad = torch.tensor([1.0, 2.0, 3.0], dtype=torch.bfloat16)
    optimizer.step()
    ours = {"w": jnp.ones(3, jnp.bfloat16)}
    state = from_torch(lr.adam(0.1, 0.5, 0.75), ours, optimizer.state_dict(), ["w"])
    assert state.inner_state.mu["w"].dtype == jnp.float32
    np.testing.assert_array_equal(state.inner_state.mu["w"], [0.5, 1.0, 1.5])


def test_another_class_is_named() -> None:
    params = _start()
    ours = _ours([p.detach().numpy() for p in params])
    for cls in (T.RAdam, T.RMSprop, T.SGD, T.Adagrad, T.Adamax, T.Rprop, T.Adadelta, T.NAdam):
        optimizer = cls(params, lr=0.1)
        list(_there(optimizer, params, range(1)))
        with pytest.raises(ValueError, match=rf"torch.optim.{cls.__name__}, but .* from Adam"):
            from_torch(lr.adam(0.1), ours, optimizer.state_dict(), NAMES)


def test_the_page_runs() -> None:
    torch.set_default_dtype(torch.float32)
    with jax.enable_x64(False):
        guides.run("coming_from.md", blocks=4, section="A run that PyTorch began")
