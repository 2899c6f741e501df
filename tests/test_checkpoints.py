"""Model, optimizer and schedule to disk and back, in the middle of everything, bit by bit."""

from __future__ import annotations

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax as lj

PARAMS = {"w": jnp.linspace(-1.0, 1.0, 6).reshape(2, 3), "b": jnp.zeros(3)}


def loss(params, x):
    return jnp.mean((jnp.tanh(x @ params["w"] + params["b"][None]) - 0.3) ** 2)


def optimizers():
    one_cycle = lj.one_cycle(0.1, 20)
    momentum = lj.one_cycle_momentum(total_steps=20)
    restarts = lj.warm_restarts(0.1, 3, cycle_mult=2, cycle_decay=0.9)
    plateau = lj.warmup(lj.reduce_on_plateau(0.1, factor=0.5, patience=0, cooldown=1), 4)
    return {
        "mid-cycle sgd": lj.sgd(one_cycle, momentum=momentum),
        "mid-cycle adam": lj.adam(one_cycle, b1=momentum),
        "mid-restart": lj.sgd(restarts, momentum=0.9),
        "mid-plateau": lj.sgd(plateau, momentum=0.9),
        "mid-accumulation": lj.accumulate(lj.adam(one_cycle), lj.linear(1, 4, 5)),
        "optax": optax.chain(optax.clip(1.0), lj.tunable(optax.lion)(restarts)),
    }


@functools.partial(jax.jit, static_argnums=0)
def step(tx, carry, i):
    params, state = carry
    x = jax.random.normal(jax.random.key(i), (8, 2))
    value, gradients = jax.value_and_grad(loss)(params, x)
    updates, state = tx.update(gradients, state, params, value=value)
    return optax.apply_updates(params, updates), state


def run(tx, carry, steps):
    for i in steps:
        carry = step(tx, carry, i)
    return carry


def through_orbax(carry, fresh, folder):
    orbax = pytest.importorskip("orbax.checkpoint")
    with orbax.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "state", carry)
    with orbax.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(folder / "state", fresh)


def through_flax(carry, fresh, folder):
    serialization = pytest.importorskip("flax.serialization")
    (folder / "state").write_bytes(serialization.to_bytes(carry))
    return serialization.from_bytes(fresh, (folder / "state").read_bytes())


def through_pickle(carry, fresh, folder):
    (folder / "state").write_bytes(pickle.dumps(carry))
    return pickle.loads((folder / "state").read_bytes())


@pytest.mark.parametrize("name", optimizers())
@pytest.mark.parametrize("through", [through_orbax, through_flax, through_pickle])
def test_going_on_is_bit_identical(name, through, tmp_path):
    tx = optimizers()[name]
    middle = run(tx, (PARAMS, tx.init(PARAMS)), range(7))
    expected = run(tx, middle, range(7, 14))
    again = optimizers()[name]  # as another process would make it
    restored = through(middle, (PARAMS, again.init(PARAMS)), tmp_path)
    assert jax.tree.structure(restored) == jax.tree.structure(middle)
    went_on = run(again, restored, range(7, 14))
    for x, y in zip(jax.tree.leaves(went_on), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_checkpoint_carries_the_schedules_numbers(tmp_path):
    """Restored into an optimizer with other numbers, the run goes on with the saved ones."""
    tx, other = lj.sgd(lj.cosine_decay(0.1, 20)), lj.sgd(lj.cosine_decay(0.5, 10))
    middle = run(tx, (PARAMS, tx.init(PARAMS)), range(5))
    restored = through_orbax(middle, (PARAMS, other.init(PARAMS)), tmp_path)
    assert float(lj.hyperparams(restored[1])["learning_rate"]) == float(
        lj.hyperparams(middle[1])["learning_rate"]
    )


@pytest.mark.parametrize("name", ["mid-cycle sgd", "mid-cycle adam"])
def test_one_cycle_moves_momentum_the_other_way(name):
    tx = optimizers()[name]
    partner = {"mid-cycle sgd": "momentum", "mid-cycle adam": "b1"}[name]
    carry, seen = (PARAMS, tx.init(PARAMS)), []
    for i in range(20):
        values = lj.hyperparams(carry[1])
        seen.append((float(values["learning_rate"]), float(values[partner])))
        carry = run(tx, carry, [i])
    rates, momenta = np.array(seen).T
    assert np.all(np.diff(rates) * np.diff(momenta) <= 0)
    assert rates.argmax() == momenta.argmin() == 5
    np.testing.assert_allclose([momenta.min(), momenta.max()], [0.85, 0.95], rtol=1e-6)
