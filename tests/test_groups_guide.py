"""Decay masks by their names and shapes, in three libraries; the guide of groups runs."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

from lropt_jax import OPTIMIZERS, adam, adamw, no_bias_norm

GUIDE = pathlib.Path(__file__).parents[1] / "docs" / "groups.md"


def test_the_guide_runs() -> None:
    names: dict[str, Any] = {}
    code = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(code) == 6
    with jax.numpy_rank_promotion("allow"):
        exec("\n".join(code), names)


def _decaying(params: Any) -> set[str]:
    leaves = jax.tree_util.tree_leaves_with_path(no_bias_norm(params))
    return {jax.tree_util.keystr(p, simple=True, separator="/") for p, decays in leaves if decays}


def test_matrices_alone_decay_in_every_library() -> None:
    class Linen(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            x = nn.LayerNorm()(nn.Dense(4)(x))
            x = nn.MultiHeadDotProductAttention(2)(x)
            return nn.GroupNorm(2)(nn.Conv(4, (3,))(x))

    params = Linen().init(jax.random.key(0), jnp.ones((1, 3, 4)))["params"]
    attention = {
        f"MultiHeadDotProductAttention_0/{n}/kernel" for n in ("key", "out", "query", "value")
    }
    assert _decaying(params) == {"Dense_0/kernel", "Conv_0/kernel", *attention}

    class Nnx(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.dense, self.norm = nnx.Linear(3, 4, rngs=rngs), nnx.BatchNorm(4, rngs=rngs)

    state = nnx.to_pure_dict(nnx.state(Nnx(nnx.Rngs(0)), nnx.Param))
    assert _decaying(state) == {"dense/kernel"}

    class Equinox(eqx.Module):
        dense: eqx.nn.Linear
        norm: eqx.nn.LayerNorm

    module = Equinox(eqx.nn.Linear(3, 4, key=jax.random.key(0)), eqx.nn.LayerNorm((2, 2)))
    assert _decaying(eqx.filter(module, eqx.is_inexact_array)) == {"dense/weight"}


def test_layers_that_lie_side_by_side_are_known_by_their_names() -> None:
    """What a scan over layers makes: biases with a leading axis."""
    stacked = {"dense": {"kernel": jnp.ones((5, 3, 4)), "bias": jnp.ones((5, 4))}}
    assert _decaying(stacked) == {"dense/kernel"}
    assert no_bias_norm(jnp.ones(())) is False
    assert no_bias_norm(jnp.ones((2, 2))) is True


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_its_name(name: str) -> None:
    params = {"w": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    zeros = jax.tree.map(jnp.zeros_like, params)
    made = [OPTIMIZERS[name](0.1, weight_decay=0.5, mask=m) for m in ("no_bias_norm", no_bias_norm)]
    updates = [tx.update(zeros, tx.init(params), params)[0] for tx in made]
    jax.tree.map(np.testing.assert_array_equal, *updates)
    assert np.all(updates[0]["bias"] == 0)
    assert np.all(updates[0]["w"] < 0)


def test_it_equals_optax_with_the_same_mask() -> None:
    params = {"w": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 2.0)}
    grads = jax.tree.map(jnp.ones_like, params)
    ours = adamw(0.1, weight_decay=0.5, mask="no_bias_norm")
    theirs = optax.adamw(0.1, weight_decay=0.5, mask=no_bias_norm)
    a, b = (tx.update(grads, tx.init(params), params)[0] for tx in (ours, theirs))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), a, b)


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown mask 'no_bias'.*no_bias_norm"):
        adam(0.1, weight_decay=0.1, mask="no_bias").init({"w": jnp.ones((2, 2))})
