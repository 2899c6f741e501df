"""What every registered optimizer must do: dtypes, trees, hypergradients, populations."""

from __future__ import annotations

import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax
from lropt_jax import OPTIMIZERS, hyperparams, set_hyperparams
from tests.compilations import counted
from tests.optimizer_settings import SETTINGS, fixed, numbers

NAMES = sorted(OPTIMIZERS)
START = np.array([0.7, -1.3, 0.2, 2.0])
STIFF = np.array([0.3, 1.0, 2.5, 0.6])


def path(name, values, steps=5, start=START, dtype=float, stop=lambda step, g: g):
    """The parameters after a few steps on a quadratic whose minimum moves about."""
    tx = OPTIMIZERS[name](**values, **fixed(name))
    p = jnp.asarray(start, dtype)
    state = tx.init(p)
    for step in range(steps):
        g = stop(step, jnp.asarray(STIFF, dtype) * (p - (1.1 if step % 2 else -0.4)))
        updates, state = tx.update(g, state, p)
        p = p + updates
    return p


def test_settings_cover_the_registry():
    assert set(SETTINGS) == set(OPTIMIZERS)
    for name, factory in OPTIMIZERS.items():
        assert getattr(lropt_jax, name) is factory
        known = hyperparams(factory(0.1, **SETTINGS[name]).init(jnp.ones(2)))
        parameters = inspect.signature(factory).parameters
        assert set(parameters) >= {"learning_rate", "l2", "weight_decay", "mask"}
        # Every number there is has a setting, but those that lars and lamb have as their own.
        missing = set(known) - set(numbers(name)) - {"min_steps"}
        assert not missing, f"{name} has no setting for {missing}"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.complex64])
def test_dtypes_are_kept(name, dtype):
    """Scan dies if the state changes; numbers of float32 and bfloat16 change nothing."""
    p = jnp.asarray(START, dtype)
    factory = OPTIMIZERS[name]

    def run(values):
        tx = factory(**values, **fixed(name))
        state = tx.init(p)
        chex.assert_trees_all_equal_dtypes(state, jax.eval_shape(tx.update, p, state, p)[1])
        moments = [x for x in jax.tree.leaves(state.inner_state) if x.shape == p.shape]
        complexes = jnp.issubdtype(dtype, jnp.complexfloating)
        allowed = {"float32", "int8"} | ({"complex64"} if complexes else set())
        assert {x.dtype.name for x in moments} <= allowed

        def step(carry, _):
            p, state = carry
            updates, state = tx.update(p * jnp.asarray(STIFF, dtype), state, p)
            assert updates.dtype == dtype
            return (p + updates, state), None

        return jax.lax.scan(step, (p, state), None, length=3)[0]

    # bfloat16 would round b2 to 1, as it would for anyone.
    values = {
        k: jnp.asarray(v, jnp.bfloat16 if k == "l2" else jnp.float32)
        for k, v in numbers(name).items()
    }
    chex.assert_tree_all_finite(jax.jit(run)(values))


@pytest.mark.parametrize("name", NAMES)
def test_float64_keeps_float64(name, x64):
    p = jnp.asarray(START)
    tx = OPTIMIZERS[name](**{k: jnp.float32(v) for k, v in numbers(name).items()}, **fixed(name))
    updates, state = tx.update(p, tx.init(p), p)
    assert updates.dtype == jnp.float64
    moments = [x.dtype for x in jax.tree.leaves(state.inner_state) if x.shape == p.shape]
    assert set(moments) <= {jnp.dtype(jnp.float64), jnp.dtype(jnp.int8)}


@pytest.mark.parametrize("name", NAMES)
def test_any_tree(name):
    """None leaves, empty trees, scalars, nested trees: each leaf as if it were alone."""
    tx = OPTIMIZERS[name](**numbers(name), **fixed(name))
    leaf = jnp.asarray(START, jnp.float32)
    tree = {"a": [leaf, None, ()], "b": {}, "c": (leaf[0],)}

    @jax.jit
    def step(params):
        state = tx.init(params)
        updates, state = tx.update(params, state, params)
        return updates, state

    updates, state = step(tree)
    chex.assert_trees_all_equal_structs(updates, tree)
    alone, _ = step(leaf)
    np.testing.assert_allclose(updates["a"][0], alone, rtol=1e-6)
    empty, _ = step({})
    assert empty == {}
    chex.assert_trees_all_equal_structs(state, tx.init(tree))


@pytest.mark.parametrize("name", NAMES)
def test_hypergradients_equal_finite_differences(name, x64):
    """Of every number, through five unrolled steps; a weight without gradients among them."""

    def loss(values):
        p = path(name, values, stop=lambda _, g: g.at[1].set(0.0))
        return jnp.sum(jnp.sin(p) * jnp.arange(1.0, 5.0))

    values = {k: jnp.float64(v) for k, v in numbers(name).items()}
    value = jax.jit(loss)
    gradients = jax.jit(jax.grad(loss))(values)
    for k, v in values.items():
        h = 1e-6 * float(v)
        up, down = value(values | {k: v + h}), value(values | {k: v - h})
        np.testing.assert_allclose(
            gradients[k], (up - down) / (2 * h), rtol=1e-5, atol=1e-7, err_msg=k
        )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("defaults", [True, False])
def test_nothing_moves_and_everything_stays_finite(name, defaults):
    """Zero gradients and zero parameters: finite updates, finite hypergradients."""
    values = numbers(name)
    if defaults:
        parameters = inspect.signature(OPTIMIZERS[name]).parameters
        values = {"learning_rate": 0.05} | {
            k: v.default
            for k, v in parameters.items()
            if isinstance(v.default, float) and np.isfinite(v.default)
        }

    def loss(values, start, scale):
        return jnp.sum(path(name, values, 3, start, stop=lambda _, g: scale * g))

    gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
    for start, scale in ((np.zeros(4), 0.0), (np.zeros(4), 1.0), (START, 0.0)):
        result = gradient(values, jnp.asarray(start), jnp.asarray(scale))
        chex.assert_tree_all_finite(result)


@pytest.mark.parametrize("name", [n for n in NAMES if "eps" in numbers(n)])
def test_no_eps_and_no_gradient(name):
    """Not zero divided by zero (though the slope there is infinite, as it must be)."""
    run = jax.jit(
        lambda start: path(name, numbers(name) | {"eps": 0.0}, 2, start, stop=lambda _, g: 0 * g)
    )
    chex.assert_tree_all_finite((run(jnp.zeros(4)), run(jnp.asarray(START))))


@pytest.mark.parametrize("name", NAMES)
def test_extreme_gradients_make_no_nan(name):
    tx = OPTIMIZERS[name](**numbers(name), **fixed(name))
    p = jnp.asarray(START, jnp.float32)
    update = jax.jit(tx.update)
    for size in (1e30, 1e38, 1e-30, 1e-42):
        state = tx.init(p)
        for sign in (1.0, -1.0, -1.0):
            updates, state = update(jnp.full(4, sign * size, jnp.float32), state, p)
            assert not np.isnan(updates).any(), size


@pytest.mark.parametrize("name", NAMES)
def test_a_population_equals_a_loop(name, x64):
    """vmap over all numbers at once, each of which differs between the members."""
    members = [
        {k: v * (1 - 0.1 * i * ((j % 3) + 1) / 3) for j, (k, v) in enumerate(numbers(name).items())}
        for i in range(3)
    ]
    stacked = jax.tree.map(lambda *x: jnp.array(x), *members)
    together = jax.jit(jax.vmap(lambda v: path(name, v)))(stacked)
    single = jax.jit(lambda v: path(name, v))
    for i, member in enumerate(members):
        np.testing.assert_allclose(together[i], single(member), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_never_recompile(name):
    tx = OPTIMIZERS[name](**numbers(name), **fixed(name))
    p = jnp.asarray(START, jnp.float32)
    state = tx.init(p)
    update = jax.jit(tx.update)
    _, state = update(p, state, p)
    before, state = update(p, state, p)
    for k, v in numbers(name).items():
        changed, _ = update(p, set_hyperparams(state, **{k: v * 0.9}), p)
        chex.assert_tree_all_finite(changed)
    halved, _ = update(p, set_hyperparams(state, learning_rate=0.025), p)
    assert update._cache_size() == 1
    if name != "rprop":
        assert not np.array_equal(before, halved)


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_downhill(name):
    """On a stiff quadratic of two leaves, from a poor start, at a moderate rate."""
    rates = {
        "sgd": 0.1,
        "sgdw": 0.02,
        "lars": 0.5,
        "adadelta": 10.0,
        "adagrad": 0.5,
        "qhm": 0.2,
        "local_gains": 0.1,
        "lamb": 0.02,
    }
    extra = {"lars": {"trust_coefficient": 0.05}}.get(name, {})
    tx = OPTIMIZERS[name](rates.get(name, 0.05), **extra)
    target = {"w": jnp.array([1.0, -2.0, 3.0]), "b": jnp.array(0.5)}
    params = jax.tree.map(lambda x: x + 1.5, target)

    def loss(params):
        gaps = jax.tree.map(lambda p, t: p - t, params, target)
        return jnp.sum(gaps["w"] ** 2 * jnp.array([0.5, 1.0, 2.0])) + gaps["b"] ** 2

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), None, length=500)
    assert loss(params) < 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_sharded_parameters_keep_their_sharding(name):
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    p = jax.device_put(jnp.asarray(START, jnp.float32), sharding)
    tx = OPTIMIZERS[name](**numbers(name), **fixed(name))
    state = tx.init(p)
    moments = [x for x in jax.tree.leaves(state) if x.shape == p.shape]
    assert all(x.sharding.is_equivalent_to(sharding, 1) for x in moments)
    updates, state = jax.jit(tx.update)(p, state, p)
    assert updates.sharding.is_equivalent_to(sharding, 1)
    moments = [x for x in jax.tree.leaves(state) if x.shape == p.shape]
    assert all(x.sharding.is_equivalent_to(sharding, 1) for x in moments)


@pytest.mark.parametrize("name", NAMES)
def test_many_leaves_are_like_few(name):
    """Where there are many leaves an equation is traced once for all of one shape."""
    leaves = [jnp.asarray(np.roll(START, i), jnp.float32) for i in range(20)]
    tx = OPTIMIZERS[name](**numbers(name), **fixed(name), mask=[i % 2 == 0 for i in range(20)])
    traced, _ = jax.jit(tx.update)(leaves, tx.init(leaves), leaves)
    plain, _ = tx.update(leaves, tx.init(leaves), leaves)  # outside of a trace: leaf by leaf
    chex.assert_trees_all_close(traced, plain, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_eagerly_nothing_compiles_twice(name):
    """Under a bare vmap or grad, where every operation of a call of its own is a program."""
    tx = OPTIMIZERS[name](**numbers(name), **fixed(name))
    params = [jnp.asarray(START, jnp.float32)] * 16  # from here on equations are compiled whole
    stacked = jax.tree.map(lambda x: jnp.stack([x, x]), params)
    states = jax.vmap(tx.init)(stacked)

    def loss(rate):
        state = set_hyperparams(tx.init(params), learning_rate=rate)
        updates, _ = tx.update(params, state, params)
        return sum(jnp.sum(x) for x in updates)

    def step():
        jax.vmap(tx.update)(stacked, states, stacked)
        jax.grad(loss)(0.1)

    step()
    with counted() as compiled:
        step()
    assert not compiled
    with counted() as compiled:
        jax.jit(lambda x: x * 3.25)(1.0)
    assert compiled  # it does count


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("dtype", "promotion"),
    [(jnp.float8_e4m3fn, "standard"), (jnp.bfloat16, "strict"), (jnp.float32, "strict")],
)
def test_narrow_dtypes_and_strict_promotion(name, dtype, promotion):
    """What is too narrow to calculate in is widened, and nothing is promoted by accident."""
    p = jnp.asarray(START, dtype)
    tx = OPTIMIZERS[name](**numbers(name), **fixed(name))
    wide = OPTIMIZERS[name](**numbers(name), **fixed(name))
    with jax.numpy_dtype_promotion(promotion):
        updates, state = tx.update(p, tx.init(p), p)
        tx.update(p, state, p)
    assert updates.dtype == dtype
    p = p.astype(jnp.float32)
    expected, _ = wide.update(p, wide.init(p), p)
    np.testing.assert_array_equal(updates, expected.astype(dtype))


@pytest.mark.parametrize("name", NAMES)
def test_a_huge_gradient_makes_finite_steps(name):
    """1e30, whose square is infinite in float32, at the defaults."""
    tx = OPTIMIZERS[name](0.1)
    p = jnp.asarray(START, jnp.float32)
    updates, state = tx.update(1e30 * p, tx.init(p), p)
    chex.assert_tree_all_finite(updates)
    updates, state = tx.update(p, state, p)
    chex.assert_tree_all_finite((updates, tx.update(p, state, p)[0]))
