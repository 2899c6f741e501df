"""`reduce_on_plateau` in an optimizer: observed after an evaluation, or in `update`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax as lj

LOSSES = jnp.array([3.0, 2.0, 2.0, jnp.nan, 1.0, jnp.inf, 1.0, -1.0, -1.0, -1.0])
EXPECTED = [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]  # patience 1
ARGUMENTS = {"factor": 0.5, "patience": 1}


def optimizer(init_value=1.0, **arguments):
    return lj.sgd(lj.reduce_on_plateau(init_value, **{**ARGUMENTS, **arguments}), momentum=0.9)


def rate(state):
    return lj.hyperparams(state)["learning_rate"]


def after_each(state, values):
    def step(state, value):
        state = lj.observe(state, value)
        return state, rate(state)

    return jax.lax.scan(step, state, values)


def test_in_a_loop_in_scan_and_under_jit():
    first = optimizer().init(jnp.ones(2))
    state, one_by_one = first, []
    for value in LOSSES:
        state = lj.observe(state, value)
        one_by_one.append(float(rate(state)))
    assert one_by_one == EXPECTED
    assert after_each(first, LOSSES)[1].tolist() == EXPECTED
    assert jax.jit(after_each)(first, LOSSES)[1].tolist() == EXPECTED


def test_a_population_observes_each_its_own():
    values = jnp.stack([LOSSES, -jnp.arange(10.0), jnp.full(10, jnp.nan)], axis=1)
    states = jax.vmap(lambda lr: optimizer(lr).init(jnp.ones(2)))(jnp.array([1.0, 2.0, 4.0]))
    _, rates = after_each(states, values)
    np.testing.assert_allclose(rates[:, 0], EXPECTED)
    np.testing.assert_allclose(rates[:, 1], 2.0)
    np.testing.assert_allclose(rates[-1, 2], 4 * 0.5**5)
    same = jax.vmap(lj.observe)(states, values[0])
    np.testing.assert_allclose(rate(same), rates[0])


def test_in_update_the_observation_acts_on_the_next_one():
    tx = optax.chain(optax.clip(1.0), optimizer(patience=0))
    gradients = jnp.ones(2)

    @jax.jit
    def step(state, value):
        shown = rate(state)
        updates, state = tx.update(gradients, state, value=value)
        return updates, state, shown

    state = tx.init(gradients)
    shown_rates = []
    for value in (3.0, 3.0, 3.0):
        _, state, shown = step(state, value)
        shown_rates.append(float(shown))
    assert shown_rates == [1.0, 1.0, 0.5]
    assert float(rate(state)) == 0.25
    assert step._cache_size() == 1


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("offset", [10.0, 0.0, -10.0])
def test_any_sign(mode, threshold_mode, offset):
    """Getting better by more than the threshold never cuts; staying, or worse, always does."""
    sign = 1 if mode == "min" else -1
    s = lj.reduce_on_plateau(
        1.0, factor=0.5, patience=0, threshold=0.01, threshold_mode=threshold_mode, mode=mode
    )
    better = worse = same = s.observe(offset)
    for step in range(1, 4):
        better = better.observe(offset - sign * step)
        worse = worse.observe(offset + sign * step)
        same = same.observe(offset)
    assert float(better(0)) == 1.0
    assert float(worse(0)) == 0.125
    assert float(same(0)) == 0.125


def test_every_non_finite_value_is_a_bad_one():
    for mode in ("min", "max"):
        s = lj.reduce_on_plateau(1.0, factor=0.5, patience=2, mode=mode)
        for value in (jnp.nan, jnp.inf, -jnp.inf):
            s = s.observe(value)
        assert float(s(0)) == 0.5
        assert float(s.observe(1.0).state["best"]) == 1.0


def test_nested_in_a_warmup_a_product_and_beside_a_momentum_that_observes():
    plateau = lj.reduce_on_plateau(1.0, factor=0.5, patience=0)
    tx = lj.sgd(2.0 * lj.warmup(plateau, 4), momentum=0.8 * plateau)
    state = lj.observe(lj.observe(tx.init(jnp.ones(2)), 1.0), 1.0)
    moved = lj.hyperparams(state)
    np.testing.assert_allclose(moved["momentum"], 0.4)
    _, state = tx.update(jnp.ones(2), state)
    np.testing.assert_allclose(rate(state), 2 * 0.5 / 4)


def test_nothing_is_ignored():
    with pytest.raises(ValueError, match="no hyperparameter of this optimizer"):
        lj.observe(lj.sgd(0.1).init(jnp.ones(2)), 1.0)
    with pytest.raises(ValueError, match="no tunable optimizer"):
        lj.observe(optax.sgd(0.1).init(jnp.ones(2)), 1.0)
    state = optimizer().init(jnp.ones(2))
    with pytest.raises(ValueError, match="shape"):
        lj.observe(state, jnp.ones(2))


def test_numbers_may_be_set_in_the_middle_and_nothing_compiles_again():
    observe = jax.jit(lj.observe)
    state = observe(optimizer(patience=0).init(jnp.ones(2)), 1.0)
    state = observe(state, 1.0)
    compiled = observe._cache_size()
    other = lj.reduce_on_plateau(8.0, factor=0.25, patience=0)
    state = lj.set_hyperparams(state, learning_rate=other)
    state = observe(observe(state, 5.0), 5.0)
    assert float(rate(state)) == 2.0
    assert observe._cache_size() == compiled
