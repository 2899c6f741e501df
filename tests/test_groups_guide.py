"""Decay masks by their names and shapes, in three libraries; the guide of groups runs."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

from lropt_jax import (
    OPTIMIZERS,
    Dataset,
    adam,
    adamw,
    choice,
    classification_task,
    grid,
    mlp,
    no_bias_norm,
    scale_by_lamb,
    sweep,
)
from tests import guides


@pytest.mark.slow
def test_the_guide_runs() -> None:
    guides.run("groups.md", blocks=7)


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
    module = nnx.State({"dense": {"bias": nnx.Param(jnp.ones((5, 4)))}})
    assert not jax.tree.leaves(no_bias_norm(module))[0]
    assert no_bias_norm(jnp.ones(())) is False
    assert no_bias_norm(jnp.ones((2, 2))) is True


@pytest.mark.parametrize(
    ("names", "shape", "decays"),
    [
        ("linear w", (3, 4), True),  # of Haiku
        ("linear b", (4,), False),
        ("layer_norm scale", (4,), False),
        ("net/~/layer_norm offset", (5, 4), False),
        ("layers.0.linear1.weight", (4, 3), True),  # of PyTorch, flat
        ("layers.0.norm1.weight", (4,), False),
        ("layers.0.self_attn.in_proj_bias", (12,), False),
        ("lstm.bias_ih_l0", (5, 16), False),
        ("transformer h_0 ln_1 weight", (5, 4), False),  # side by side
        ("layer1 bn2 weight", (5, 4), False),
        ("Embed_0 embedding", (10, 4), True),
        ("wte weight", (10, 4), True),
        ("pos_embedding", (1, 10, 4), True),
        ("relative_position_bias_table", (49, 3), False),
        ("PreNorm_0 Attention_0 to_qkv kernel", (4, 12), True),  # a norm's name further up
        ("Dense_0 kernel", (1, 1), True),
        ("conv bias", (8, 1, 1), False),  # of Equinox
        ("lora a", (4, 2), True),
        ("lora b", (2, 4), True),  # beside no w
        ("blend_weights", (4, 4), True),  # neither "b" nor "ln" is a part of a word
    ],
)
def test_names_of_many_libraries(names: str, shape: tuple[int, ...], decays: bool) -> None:
    params: Any = jnp.ones(shape)
    for name in reversed(names.split(" ")):
        params = {name: params}
    assert jax.tree.leaves(no_bias_norm(params)) == [decays]


def test_a_bias_of_haiku_stands_beside_its_matrix() -> None:
    stacked = {"block/linear": {"w": jnp.ones((5, 3, 4)), "b": jnp.ones((5, 4))}}
    assert _decaying(stacked) == {"block/linear/w"}


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


@pytest.mark.parametrize("of", ["l2", "weight_decay"])
@pytest.mark.parametrize("name", ["no_bias", "", "w"])
def test_another_name_is_refused(of: str, name: str) -> None:
    with pytest.raises(ValueError, match=rf"mask must be .* unknown mask '{name}'.*no_bias_norm"):
        adam(0.1, mask=name, **{of: 0.1})
    with pytest.raises(ValueError, match=rf"mask must be .* unknown mask '{name}'.*no_bias_norm"):
        scale_by_lamb(mask=name)


def test_a_sweep_has_masks_among_its_choices() -> None:
    rng = np.random.default_rng(0)
    data = Dataset.of(rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 2, 60))
    task = classification_task(mlp((8, 2)), data, batch_size=10)
    masks = ["no_bias_norm", None]
    space = {"learning_rate": 0.1, "weight_decay": grid(0.0, 0.5), "mask": choice(masks)}
    result = sweep(task, adamw, space, steps=5, keep=4, progress=False)
    by_mask = {mask: [] for mask in masks}
    for i, trial in enumerate(result.trials):
        by_mask[trial["mask"]].append(np.asarray(result.trained(i).params["Dense_0"]["kernel"]))
    for undecayed, decayed in by_mask.values():
        assert np.abs(decayed).sum() < np.abs(undecayed).sum()
    # Without decay the mask changes nothing, with it only what is no matrix, and so the rest.
    np.testing.assert_array_equal(by_mask[None][0], by_mask["no_bias_norm"][0])
    assert not np.array_equal(by_mask[None][1], by_mask["no_bias_norm"][1])


def test_an_optimizer_of_nnx_takes_its_name() -> None:
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.Linear(3, 4, rngs=rngs), nnx.LayerNorm(4, rngs=rngs))
    tx = nnx.Optimizer(model, adamw(0.1, weight_decay=0.5, mask="no_bias_norm"), wrt=nnx.Param)
    before = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    tx.update(model, jax.tree.map(jnp.zeros_like, nnx.state(model, nnx.Param)))
    after = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    dense, norm = after["layers"][0], after["layers"][1]
    np.testing.assert_allclose(dense["kernel"], 0.95 * before["layers"][0]["kernel"], rtol=1e-6)
    np.testing.assert_array_equal(norm["scale"], np.ones(4))
