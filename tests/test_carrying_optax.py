"""A run that Optax's optimizer began goes on with ours, step by step, alone and in chains."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax as lr
from lropt_jax import adam, from_optax, sgd
from tests import guides

SCHEDULE = optax.linear_schedule(0.1, 0.01, 20)
STEPS = 5


def _params() -> Any:
    rng = np.random.default_rng(0)
    return {"w": jnp.array(rng.normal(size=(3, 2))), "b": jnp.array(rng.normal(size=2))}


def _gradients(step: int) -> Any:
    rng = np.random.default_rng(step + 1)
    return {"w": jnp.array(rng.normal(size=(3, 2))), "b": jnp.array(rng.normal(size=2))}


def _run(tx: Any, params: Any, state: Any, steps: range) -> tuple[Any, Any]:
    update = jax.jit(tx.update)
    for step in steps:
        updates, state = update(_gradients(step), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def _goes_on(theirs: Any, ours: Any, begun: int = STEPS, count: int | None = None) -> Any:
    params, before = _run(theirs, _params(), theirs.init(_params()), range(begun))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state = from_optax(ours, params, before, count)
    for more in (1, STEPS):
        steps = range(begun, begun + more)
        there, _ = _run(theirs, params, before, steps)
        here, _ = _run(ours, params, state, steps)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-10), here, there)
    return state


ADAM = {"b1": 0.8, "b2": 0.95, "eps": 1e-3}
CASES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "sgd": (lambda: optax.sgd(0.1), lambda: sgd(0.1)),
    "momentum": (lambda: optax.sgd(0.1, 0.9), lambda: sgd(0.1, momentum=0.9)),
    "nesterov": (
        lambda: optax.sgd(0.1, 0.9, nesterov=True),
        lambda: sgd(0.1, momentum=0.9, nesterov=True),
    ),
    "adam": (lambda: optax.adam(0.1, **ADAM), lambda: adam(0.1, **ADAM)),
    "adam, a schedule": (lambda: optax.adam(SCHEDULE), lambda: adam(SCHEDULE)),
    "adamw": (
        lambda: optax.adamw(0.1, weight_decay=0.2),
        lambda: lr.adamw(0.1, weight_decay=0.2),
    ),
    "nadam": (lambda: optax.nadam(0.1, **ADAM), lambda: lr.nadam(0.1, **ADAM)),
    "nadamw": (
        lambda: optax.nadamw(0.1, weight_decay=0.2),
        lambda: lr.nadamw(0.1, weight_decay=0.2),
    ),
    "adamax": (lambda: optax.adamax(0.1, **ADAM), lambda: lr.adamax(0.1, **ADAM)),
    "adadelta": (
        lambda: optax.adadelta(0.7, rho=0.8, eps=1e-3),
        lambda: lr.adadelta(0.7, 0.8, 1e-3),
    ),
    "adagrad": (lambda: optax.adagrad(0.1, eps=0.0), lambda: lr.adagrad(0.1, eps=0.0)),
    "rmsprop": (
        lambda: optax.rmsprop(0.1, 0.8, 1e-3, eps_in_sqrt=False),
        lambda: lr.rmsprop(0.1, 0.8, 1e-3),
    ),
    "rmsprop, momentum": (
        lambda: optax.rmsprop(0.1, 0.8, 1e-3, eps_in_sqrt=False, momentum=0.7),
        lambda: lr.rmsprop(0.1, 0.8, 1e-3, momentum=0.7),
    ),
    "rmsprop, centered": (
        lambda: optax.rmsprop(0.1, 0.8, 1e-3, eps_in_sqrt=False, centered=True, momentum=0.7),
        lambda: lr.rmsprop(0.1, 0.8, 1e-3, momentum=0.7, centered=True),
    ),
    "any of Optax's": (lambda: optax.lion(0.1), lambda: lr.tunable(optax.lion)(0.1)),
    "Optax's amsgrad": (lambda: optax.amsgrad(0.1), lambda: lr.tunable(optax.amsgrad)(0.1)),
    "Optax's rprop": (lambda: optax.rprop(0.1), lambda: lr.tunable(optax.rprop)(0.1)),
    "in a chain": (
        lambda: optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.1)),
        lambda: optax.chain(optax.clip_by_global_norm(0.5), adam(0.1)),
    ),
    "in parts": (
        lambda: optax.chain(optax.clip(0.5), optax.scale_by_adam(), optax.scale(-0.1)),
        lambda: optax.chain(optax.clip(0.5), adam(0.1)),
    ),
    "injected": (
        lambda: optax.inject_hyperparams(optax.adam)(0.1, b1=0.5),
        lambda: adam(0.1, b1=0.5),
    ),
    "injected, a schedule": (
        lambda: optax.inject_hyperparams(optax.sgd)(SCHEDULE, momentum=0.9),
        lambda: sgd(SCHEDULE, momentum=0.9),
    ),
    "injected chain": (
        lambda: optax.inject_hyperparams(
            lambda learning_rate: optax.chain(optax.clip(0.5), optax.adam(learning_rate))
        )(0.1),
        lambda: optax.chain(optax.clip(0.5), adam(0.1)),
    ),
    "partition": (
        lambda: optax.partition(
            {"x": optax.adam(0.1), "y": optax.sgd(0.2, 0.9)}, {"w": "x", "b": "y"}
        ),
        lambda: optax.partition({"x": adam(0.1), "y": sgd(0.2, 0.9)}, {"w": "x", "b": "y"}),
    ),
    "frozen": (
        lambda: optax.partition(
            {"x": optax.adam(0.1), "y": optax.set_to_zero()}, {"w": "x", "b": "y"}
        ),
        lambda: optax.partition({"x": adam(0.1), "y": optax.set_to_zero()}, {"w": "x", "b": "y"}),
    ),
    "masked": (
        lambda: optax.masked(optax.adam(0.1), {"w": True, "b": False}),
        lambda: optax.masked(adam(0.1), {"w": True, "b": False}),
    ),
    "in the middle of MultiSteps": (
        lambda: optax.MultiSteps(optax.adam(0.1), 3),
        lambda: optax.MultiSteps(adam(0.1), 3),
    ),
    "apply_if_finite": (
        lambda: optax.apply_if_finite(optax.adam(0.1), 2),
        lambda: optax.apply_if_finite(adam(0.1), 2),
    ),
    "an average of the updates": (
        lambda: optax.chain(optax.adam(0.1), optax.ema(0.9)),
        lambda: optax.chain(adam(0.1), optax.ema(0.9)),
    ),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("case", CASES)
def test_it_goes_on(case: str) -> None:
    theirs, ours = CASES[case]
    state = _goes_on(theirs(), ours())
    assert jax.tree.structure(state) == jax.tree.structure(ours().init(_params()))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("case", CASES)
def test_before_the_first_update(case: str) -> None:
    if not case.startswith("adagrad"):  # there 0.1, here 0
        theirs, ours = CASES[case]
        state = from_optax(ours(), _params(), theirs().init(_params()))
        if "rprop" not in case:
            jax.tree.map(np.testing.assert_array_equal, state, ours().init(_params()))


@pytest.mark.usefixtures("x64")
def test_accumulation_is_taken_over_after_an_update() -> None:
    theirs = optax.MultiSteps(optax.adam(0.1), 3)
    params, before = _run(theirs, _params(), theirs.init(_params()), range(6))
    for ours in (adam(0.1), lr.accumulate(adam(0.1), 3)):
        state = from_optax(ours, params, before)
        assert int(lr.from_optax(ours, params, before)[0]) == 2
        jax.tree.map(
            np.testing.assert_array_equal,
            _moments(state).mu,
            before.inner_opt_state[0].mu,
        )
    _, middle = _run(theirs, params, before, range(6, 7))
    for ours in (adam(0.1), lr.accumulate(adam(0.1), 3)):
        with pytest.raises(ValueError, match="right after an update, got 1 gradients that wait"):
            from_optax(ours, params, middle)


def _moments(state: Any) -> Any:
    found = jax.tree.leaves(state, is_leaf=lambda x: hasattr(x, "nu"))
    return next(x for x in found if hasattr(x, "nu"))


def test_the_products_are_the_powers() -> None:
    theirs = optax.adam(0.1, b1=0.5, b2=0.75)
    params, before = _run(theirs, _params(), theirs.init(_params()), range(3))
    state = from_optax(adam(0.1, 0.5, 0.75), params, before)
    assert float(state.inner_state.b1_product) == 0.5**3
    assert float(state.inner_state.b2_product) == 0.75**3
    falling = adam(0.1, b1=lr.linear(0.5, 0.25, 2), b2=0.75)
    assert float(from_optax(falling, params, before).inner_state.b1_product) == 0.5 * 0.375 * 0.25


def test_a_schedule_goes_on_at_the_count() -> None:
    theirs = optax.sgd(0.1, 0.9)
    params, before = _run(theirs, _params(), theirs.init(_params()), range(3))
    tx = sgd(lr.linear(1.0, 0.0, 10), momentum=0.9)
    state = from_optax(tx, params, before, count=3)
    assert float(lr.hyperparams(state)["learning_rate"]) == pytest.approx(0.7)
    with pytest.warns(UserWarning, match="does not say its count, so schedules begin at 0"):
        from_optax(tx, params, before)
    with pytest.raises(ValueError, match="count must be a whole number >= 0, got -1"):
        from_optax(tx, params, before, count=-1)
    theirs = optax.adam(0.1)
    _, before = _run(theirs, _params(), theirs.init(_params()), range(3))
    with pytest.raises(ValueError, match="count must be the state's, 3, got 4"):
        from_optax(adam(0.1), params, before, count=4)


def test_injected_numbers_that_differ_are_named_in_one_warning() -> None:
    theirs = optax.inject_hyperparams(optax.adam)(0.1, b1=0.5, eps_root=1e-3)
    before = theirs.init(_params())
    with pytest.warns(UserWarning, match="from_optax") as caught:
        from_optax(adam(0.2, b1=0.5), _params(), before)
    (warning,) = caught
    said = str(warning.message)
    assert "learning_rate is 0.2, there 0.1" in said
    assert "eps_root is 0.001 there" in said
    assert "b1" not in said
    assert warning.filename == __file__


def test_other_forms_go_on_and_it_is_said() -> None:
    theirs = optax.amsgrad(0.1)
    params, before = _run(theirs, _params(), theirs.init(_params()), range(STEPS))
    with pytest.warns(UserWarning, match="amsgrad takes the maximum after the bias correction"):
        state = from_optax(lr.amsgrad(0.1), params, before)
    # Corrected, the largest is what Optax has.
    corrected = state.inner_state.nu_max["w"] / (1 - state.inner_state.b2_product)
    np.testing.assert_allclose(corrected, before[0].nu_max["w"], rtol=1e-4)

    theirs = optax.rprop(0.1)
    params, before = _run(theirs, _params(), theirs.init(_params()), range(STEPS))
    with pytest.warns(UserWarning, match="rprop takes each step an update later"):
        state = from_optax(lr.rprop(0.1), params, before)
    updates, _ = lr.rprop(0.1).update(_gradients(STEPS), state, params)
    # The step that Optax takes one update later: at the next one.
    _, after = theirs.update(_gradients(STEPS), before, params)
    later, _ = theirs.update(jax.tree.map(jnp.zeros_like, params), after, params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), updates, later)


@pytest.mark.parametrize(
    ("theirs", "ours", "words"),
    [
        (optax.sgd(0.1, 0.9), adam(0.1), "hold ScaleByAdamState, .* got TraceState"),
        (optax.adam(0.1), sgd(0.1, 0.9), "hold TraceState, .* got ScaleByAdamState"),
        (optax.sgd(0.1, 0.9), sgd(0.1), "hold no moments, .* got TraceState"),
        (optax.sgd(0.1), sgd(0.1, 0.9), "hold TraceState, .* got no moments"),
        (optax.adam(0.1), lr.amsgrad(0.1), "ScaleByAmsgradState, .* got ScaleByAdamState"),
        (optax.rmsprop(0.1), lr.rmsprop(0.1, centered=True), "centered must be the same"),
        (optax.rmsprop(0.1, centered=True), lr.rmsprop(0.1), "centered must be the same"),
        (optax.rmsprop(0.1, momentum=0.9), lr.rmsprop(0.1), "got .*TraceState"),
        (optax.rmsprop(0.1, bias_correction=True), lr.rmsprop(0.1), "got ScaleByRmsWithCountState"),
        (optax.chain(optax.adam(0.1), optax.ema(0.9)), adam(0.1), "got ScaleByAdamState and EmaSt"),
        (optax.adam(0.1), optax.chain(adam(0.1), optax.ema(0.9)), "must be built like tx"),
        (optax.lamb(0.1), lr.lamb(0.1), "tx must be one of sgd.*, got lamb"),
        (optax.adam(0.1), lr.adabelief(0.1), "tx must be one of sgd.*, got adabelief"),
        (optax.adam(0.1), lr.by_layer(adam, 0.1), "2 layers, each with moments of its own"),
        (optax.adam(0.1), optax.adam(0.1), "holds no tunable optimizer"),
        (optax.sgd(0.1), lr.tunable(optax.adam)(0.1), "must be one of .*with ScaleByAdamState"),
        (optax.adam(0.1), lr.tunable(optax.lion)(0.1), "must be one of .*got one with ScaleByLion"),
    ],
)
def test_what_does_not_match_is_refused(theirs: Any, ours: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_optax(ours, _params(), theirs.init(_params()))


def test_half_a_state_and_one_of_other_parameters_are_refused() -> None:
    theirs = optax.adam(0.1)
    params, before = _run(theirs, _params(), theirs.init(_params()), range(2))
    half = (before[0]._replace(count=jnp.zeros((), jnp.int32)), *before[1:])
    with pytest.raises(ValueError, match="ScaleByAdamState has moments, but its count is 0"):
        from_optax(adam(0.1), params, half)
    with pytest.raises(ValueError, match=r"mu must have .* got \(2,\) for 'b', which has \(3,\)"):
        from_optax(adam(0.1), {**params, "b": jnp.ones(3)}, before)
    with pytest.raises(ValueError, match=r"mu must have .* got nothing for 'c', which has \(3,\)"):
        from_optax(adam(0.1), {**params, "c": jnp.ones(3)}, before)
    labels = {"w": "x", "b": "y"}
    parts = {"x": adam(0.1), "y": adam(0.1)}
    with pytest.raises(ValueError, match="must be built like tx"):
        from_optax(optax.partition(parts, labels), params, before)
    theirs = optax.partition({"x": optax.adam(0.1), "y": optax.sgd(0.1)}, labels)
    with pytest.raises(ValueError, match="y: state must hold ScaleByAdamState"):
        from_optax(optax.partition(parts, labels), params, theirs.init(params))


def test_a_sweep_of_a_state_goes_on() -> None:
    """The state is data: a population's, too, can be filled under vmap's structure."""
    tx = adam(0.1)
    theirs = optax.adam(0.1)
    params, before = _run(theirs, _params(), theirs.init(_params()), range(2))
    state = from_optax(tx, params, before)
    rates = jnp.array([0.1, 0.2])
    states = jax.vmap(lambda r: lr.set_hyperparams(state, learning_rate=r))(rates)
    updates, _ = jax.vmap(lambda s: tx.update(_gradients(2), s, params))(states)
    np.testing.assert_allclose(updates["w"][1], 2 * updates["w"][0], rtol=1e-5)


def test_the_page_runs() -> None:
    guides.run("coming_from.md", blocks=2, section="A run that Optax began")
