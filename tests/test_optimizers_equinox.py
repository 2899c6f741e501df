"""Equinox modules as parameters and as masks: trees that can be called, with functions in them."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lropt_jax import OPTIMIZERS, adamw, by_layer, hyperparams, lamb, lars, set_hyperparams, sgd

eqx = pytest.importorskip("equinox")


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_whole_module_as_params(name):
    """Gradients are None at its functions, where nothing moves; as with the filtered module."""
    module = eqx.nn.MLP(2, 2, 2, 2, key=jax.random.key(0))
    gradients = eqx.filter_grad(lambda m: m(jnp.ones(2)).sum())(module)
    params = eqx.filter(module, eqx.is_inexact_array)
    tx = OPTIMIZERS[name](0.1, l2=0.1, weight_decay=0.2)
    state = tx.init(params)
    whole, after = tx.update(gradients, state, module)
    filtered, expected = tx.update(gradients, state, params)
    chex.assert_trees_all_equal((whole, after), (filtered, expected))
    assert len(jax.tree.leaves(whole)) == len(jax.tree.leaves(params))


class Net(eqx.Module):
    linear: eqx.nn.Linear

    def __call__(self, x):
        return self.linear(x)


class Truth(eqx.Module):
    """A mask that, if it were called, would let everything decay."""

    w: bool
    b: bool

    def __call__(self, params):
        return True


@pytest.mark.parametrize("optimizer", [adamw, sgd, lars, lamb])
def test_a_module_as_mask_is_a_tree(optimizer):
    net = Net(eqx.nn.Linear(2, 2, key=jax.random.key(0)))
    params = eqx.filter(net, eqx.is_inexact_array)
    mask = jax.tree.map(lambda x: x.ndim > 1, params)
    gradients = jax.tree.map(jnp.zeros_like, params)
    tx = optimizer(0.1, weight_decay=0.5, mask=mask)
    updates, _ = tx.update(gradients, tx.init(params), params)
    assert not np.any(updates.linear.bias)
    assert np.all(updates.linear.weight != 0)

    tree = Truth(jnp.ones(2), jnp.ones(2))
    tx = optimizer(0.1, weight_decay=0.5, mask=Truth(w=True, b=False))
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, tree), tx.init(tree), tree)
    assert not np.any(updates.b)
    assert np.all(updates.w != 0)


def test_layers_of_a_module():
    """Which can be called, as Optax calls labels that can; it may be given whole, too."""
    module = eqx.nn.MLP(2, 2, 2, 1, key=jax.random.key(0))
    params = eqx.filter(module, eqx.is_inexact_array)
    tx = by_layer(sgd, 0.5, decay=0.5, order=["layers/0", "layers/1"], weight_decay=1.0)
    state = tx.init(params)
    for given in (params, module):
        updates, after = tx.update(params, state, given)
        for layer, rate in zip((0, 1), (0.25, 0.5), strict=True):
            before, step = (x.layers[layer].weight for x in (params, updates))
            np.testing.assert_allclose(step, -2 * rate * before, rtol=1e-6)
        assert jax.tree.structure(after) == jax.tree.structure(state)


def test_groups_of_a_module():
    net = eqx.filter(eqx.nn.MLP(2, 2, 2, 1, key=jax.random.key(0)), eqx.is_inexact_array)
    labels = jax.tree.map(lambda x: "body" if x.ndim > 1 else "head", net)
    tx = optax.partition({"body": adamw(0.1), "head": sgd(0.2)}, lambda params: labels)
    state = set_hyperparams(tx.init(net), head={"learning_rate": 0.5})
    assert float(hyperparams(state)["head"]["learning_rate"]) == 0.5
    updates, _ = tx.update(net, state, net)
    np.testing.assert_allclose(updates.layers[0].bias, -0.5 * net.layers[0].bias)
