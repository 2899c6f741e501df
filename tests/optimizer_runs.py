"""Runs our optimizers on the cases that the references ran on."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import lropt_jax
from lropt_jax import constant
from tests.golden.optimizer_cases import STEPS, Case, gradient, noise, rate, start


def trajectory(case: Case) -> list[list[np.ndarray]]:
    """The parameters after each step, one scan in float64."""
    rates = jnp.array([rate(case, step) for step in range(STEPS)])
    # A schedule with the table as data, and a number: both ways in are exercised.
    learning_rate = (lambda t: rates[t]) if case.scheduled else constant(case.learning_rate)
    tx = lropt_jax.OPTIMIZERS[case.name](learning_rate, **case.numbers)
    params = [jnp.asarray(p) for p in start(case.leaves)]
    stacked = [jnp.stack(column) for column in zip(*noise(case.leaves), strict=True)]

    def step(carry, noise_now):
        params, state = carry
        updates, state = tx.update(gradient(params, noise_now), state, params)
        params = jax.tree.map(jnp.add, params, updates)
        return (params, state), params

    _, path = jax.jit(lambda p: jax.lax.scan(step, (p, tx.init(p)), stacked))(params)
    return [[np.asarray(leaf[i]) for leaf in path] for i in range(STEPS)]
