"""Initialisers and losses that decompose matrices: on a CPU lanes must not wait for ever.

Each case runs in a process of its own under a time limit, since what fails is that it never ends.
"""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lropt_jax import adam
from lropt_jax.training.layout import Layout, calls_lapack
from lropt_jax.training.population import Population, on_host
from tests.problems import noisy_regression

LIMIT = 300  # seconds; a few are needed

START = """
import sys
import jax, jax.numpy as jnp, numpy as np
from lropt_jax import Task, adam, classification_task
from lropt_jax.training.layout import Layout
from lropt_jax.training.population import Population
from lropt_jax.training.lanes import Feed
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
def population(task, strategy):
    return Population(task, adam, {"learning_rate": 1e-3}, Layout(strategy, tuple(jax.devices())))
def begun(lanes_of):
    keys = jax.random.split(jax.random.key(0), 16)
    return lanes_of.start(keys, {"learning_rate": np.full(16, 1e-3, np.float32)})
"""

RECURRENT = """
from flax import linen as nn
class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(4)(nn.RNN(nn.GRUCell(64))(x)[:, -1])
train = {"x": np.zeros((64, 5, 3), np.float32), "y": np.zeros(64, np.int32)}
task = classification_task(Net(), {"train": train, "valid": None, "test": None}, 8)
lanes = population(task, "vmap")
for _ in range(300):
    jax.block_until_ready(begun(lanes))
print("done")
"""

ORTHOGONAL = """
def loss(params, state, batch, key):
    frames = [jnp.linalg.qr(w + jnp.eye(32))[0] for w in params]
    return sum(jnp.sum(q) for q in frames) * batch[0, 0], (state, {})
def init(key):
    return [jax.random.normal(k, (32, 32)) for k in jax.random.split(key, 4)], {}
task = Task(init, loss, lambda p, s, batch: {"loss": batch[:, 0]}, np.ones((8, 3), np.float32),
            batch_size=4)
for strategy in ("vmap", "map:4"):
    lanes = population(task, strategy)
    state = begun(lanes)
    feed = Feed(np.zeros((16, 4, 4), np.int32))
    for _ in range(5):
        state, metrics = jax.block_until_ready(lanes.run(state, feed, 2))
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("what", [RECURRENT, ORTHOGONAL], ids=["recurrent", "orthogonal"])
def test_lanes_that_decompose_matrices_do_not_wait_for_each_other(what, devices):
    done = subprocess.run(
        [sys.executable, "-c", START + what, str(devices)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.stdout.strip() == "done", done.stderr


def test_lapack_is_found_wherever_it_is_called():
    def loop(x):
        return jax.lax.fori_loop(0, 3, lambda _, y: jnp.linalg.cholesky(y), x)

    square = jnp.eye(3)
    assert calls_lapack(jnp.linalg.svd, square)
    assert calls_lapack(jax.jit(jnp.linalg.eigh), square)
    assert calls_lapack(loop, square)
    assert calls_lapack(lambda x: jax.lax.cond(x[0, 0] > 0, jnp.linalg.inv, lambda y: y, x), square)
    assert calls_lapack(jax.grad(lambda x: jnp.linalg.slogdet(x)[1]), square)
    assert not calls_lapack(lambda x: x @ x, square)


def test_lanes_in_turn_begin_as_side_by_side():
    task, numbers = noisy_regression(), {"learning_rate": np.array([0.1, 0.2, 0.3, 0.4], "f4")}
    keys = jax.random.split(jax.random.key(3), 4)
    lanes = Population(
        task, adam, {"learning_rate": 0.1}, Layout("vmap", tuple(jax.devices()[:2]))
    ).start(keys, numbers)

    def by_hand(key, rate):
        init_key, lane_key = jax.random.split(key)
        params, state = task.init(init_key)
        return params, state, adam(rate).init(params), lane_key, jnp.zeros((), jnp.int32)

    expected = jax.jit(jax.vmap(by_hand))(keys, numbers["learning_rate"])
    for ours, theirs in zip(on_host(lanes), on_host(type(lanes)(*expected)), strict=True):
        assert np.array_equal(ours, theirs)
