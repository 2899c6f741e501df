"""`accumulate` and `batch_size_from`: a batch that grows instead of a rate that falls."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax as lj

PARAMS = {"w": jnp.arange(3.0), "b": jnp.ones(())}


def gradients(i):
    return {"w": jnp.array([1.0, -2.0, 0.5]) * (i + 1), "b": jnp.cos(1.0 * i)}


def mean(indices):
    trees = [gradients(i) for i in indices]
    return jax.tree.map(lambda *x: jnp.mean(jnp.stack(x), axis=0), *trees)


def run(tx, n, params=PARAMS, **extra):
    @jax.jit
    def step(params, state, i):
        values = {k: f(i) for k, f in extra.items()}
        updates, state = tx.update(gradients(i), state, params, **values)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for i in range(n):
        params, state = step(params, state, i)
    return params, state, step


def assert_same(a, b, rtol=1e-5):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-7)


@pytest.mark.parametrize("base", [lambda lr: lj.adam(lr), lambda lr: optax.adam(lr)])
def test_equals_the_optimizer_on_mean_gradients(base):
    schedule = lj.exponential_decay(0.1, 0.5)
    params, state, step = run(lj.accumulate(base(schedule), 3), 9)
    plain = base(schedule)
    expected, inner = PARAMS, plain.init(PARAMS)
    for u in range(3):
        updates, inner = plain.update(mean(range(3 * u, 3 * u + 3)), inner, expected)
        expected = optax.apply_updates(expected, updates)
    assert_same(params, expected)
    assert_same(state.inner_state, inner)
    assert int(state.updates) == 3
    assert int(state.microbatch) == 0
    assert step._cache_size() == 1


def test_equals_optax_multi_steps():
    ours, _, _ = run(lj.accumulate(optax.adam(0.1), 4), 10)
    theirs, _, _ = run(optax.MultiSteps(optax.adam(0.1), 4), 10)
    assert_same(ours, theirs)


def test_the_batch_may_grow_and_compiles_once():
    every = lj.piecewise_constant([2, 3], [1, 2, 3])
    params, state, step = run(lj.accumulate(lj.sgd(0.1), every), 7)
    groups = [[0], [1], [2, 3], [4, 5, 6]]
    expected = PARAMS
    for group in groups:
        expected = jax.tree.map(lambda p, g: p - 0.1 * g, expected, mean(group))
    assert_same(params, expected)
    assert int(state.updates) == 4
    assert step._cache_size() == 1
    in_scan = jax.lax.scan(
        lambda c, i: (step(*c, i), None),
        (PARAMS, lj.accumulate(lj.sgd(0.1), every).init(PARAMS)),
        jnp.arange(7),
    )[0][0]
    assert_same(in_scan, expected)


def test_numeric_extra_arguments_are_averaged_and_others_pass():
    seen = []

    def update(updates, state, params=None, *, value, loss, note, key):
        jax.debug.callback(lambda *x: seen.append([float(v) for v in x]), value, loss, ordered=True)
        assert note == "a note"
        assert key.dtype == jnp.uint32
        return updates, state

    spy = optax.GradientTransformationExtraArgs(lambda params: (), update)
    extra = {
        "value": lambda i: 1.0 * i,
        "loss": lambda i: 10.0 * i,
        "note": lambda i: "a note",
        "key": lambda i: jnp.zeros(2, jnp.uint32),
    }
    _, _, step = run(lj.accumulate(spy, 2, extra_args=("value", "loss")), 4, **extra)
    jax.effects_barrier()
    assert seen == [[0.5, 5.0], [2.5, 25.0]]
    assert step._cache_size() == 1
    seen.clear()
    run(lj.accumulate(spy, 2), 4, **extra)  # "loss" adds itself
    jax.effects_barrier()
    assert seen == [[0.5, 5.0], [2.5, 25.0]]


def test_a_plateau_sees_the_mean_value_once_an_update():
    tx = lj.accumulate(lj.sgd(lj.reduce_on_plateau(1.0, factor=0.5, patience=0)), 2)
    values = jnp.array([3.0, 1.0, 1.0, 1.5, 5.0, 1.0])  # means 2, 1.25, 3: the last is worse
    _, state, _ = run(tx, 6, value=lambda i: values[i])
    assert float(lj.hyperparams(state)["learning_rate"]) == 0.5
    state = lj.observe(state, 9.0)
    assert float(lj.hyperparams(state)["learning_rate"]) == 0.25


def test_half_precision_none_leaves_and_populations():
    params = {"w": jnp.ones(2, jnp.bfloat16), "none": None}
    tx = lj.accumulate(lj.adam(0.1), 2)
    state = tx.init(params)
    assert state.gradients["w"].dtype == jnp.float32
    for _ in range(2):
        updates, new = tx.update(params, state, params)
        assert updates["w"].dtype == jnp.bfloat16
        same = jax.tree.map(lambda a, b: a.dtype == b.dtype and a.shape == b.shape, new, state)
        assert all(jax.tree.leaves(same))
        state = new
    # Members of a population may be at different microbatches.
    states = jax.vmap(lambda k: lj.accumulate(lj.sgd(1.0), k).init(jnp.ones(2)))(jnp.array([1, 2]))
    one = lj.accumulate(lj.sgd(1.0), 1)
    both, states = jax.vmap(one.update)(jnp.ones((2, 2)), states)
    np.testing.assert_allclose(both, [[-1, -1], [0, 0]])
    both, states = jax.vmap(one.update)(jnp.ones((2, 2)), states)
    np.testing.assert_allclose(both, [[-1, -1], [-1, -1]])


def test_bad_numbers():
    with pytest.raises(ValueError, match="every must be a finite number >= 1, got 0"):
        lj.accumulate(lj.sgd(0.1), 0)
    with pytest.raises(ValueError, match="every must not observe, got reduce_on_plateau"):
        lj.accumulate(lj.sgd(0.1), lj.reduce_on_plateau(2.0))
    with pytest.raises(TypeError, match="every must be a number or a schedule, got '2'"):
        lj.accumulate(lj.sgd(0.1), "2")


@pytest.mark.parametrize("drop", [0.5, 0.2, 0.1, 1 / 3])
def test_batch_size_from_a_step_decay_grows_by_whole_factors(drop):
    factor = round(1 / drop)
    decay = lj.step_decay(0.1, drop=drop, every=10)
    batch, rate = lj.batch_size_from(decay, 32, 32 * factor**3 + 31)
    counts = jnp.array([0, 9, 10, 20, 30, 40])
    growth = np.array([1, 1, factor, factor**2, factor**3, factor**3])
    np.testing.assert_array_equal(batch(counts), 32 * growth)
    np.testing.assert_allclose(rate(counts), decay(counts) * growth, rtol=1e-6)
    np.testing.assert_allclose(rate(counts)[:5], 0.1, rtol=1e-5)


def test_batch_size_from_a_cosine_and_to_zero():
    decay = lj.cosine_decay(0.1, 100)
    batch, rate = lj.batch_size_from(decay, 32, 300)
    counts = jnp.arange(120)
    ratio = np.floor(np.asarray(decay(0) / np.maximum(decay(counts), 1e-9)) * (1 + 1e-6))
    np.testing.assert_array_equal(batch(counts), 32 * np.clip(ratio, 1, 9))
    np.testing.assert_allclose(rate(counts), decay(counts) * batch(counts) / 32, rtol=1e-6)
    assert float(batch(100)) == 288  # the largest multiple of 32 within 300
    gradient = jax.grad(lambda lr: lj.batch_size_from(lj.linear(lr, 0.0, 10), 8, 64)[1](10.0))(0.1)
    assert jnp.isfinite(gradient)


def test_batch_size_from_counts_microbatches_for_accumulate():
    every, rate = lj.batch_size_from(lj.step_decay(0.1, drop=0.5, every=2), 1, 4)
    _, state, step = run(lj.accumulate(lj.sgd(rate), every), 1 + 1 + 2 + 2 + 4)
    assert int(state.updates) == 5
    assert int(state.microbatch) == 0
    np.testing.assert_allclose(lj.hyperparams(state)["learning_rate"], 0.1, rtol=1e-6)
    assert step._cache_size() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((lj.warmup(0.1, 10), 32, 64), r"schedule\(0\) must be a finite number > 0, got"),
        ((lj.constant(0.1), 0, 64), "batch_size must be a finite number >= 1, got 0"),
        ((lj.constant(0.1), 32, 16), "max_batch_size must be at least batch_size = 32, got 16"),
        ((lj.reduce_on_plateau(0.1), 32, 64), "schedule must not observe"),
    ],
)
def test_batch_size_from_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        lj.batch_size_from(*arguments)


# On several devices.


@pytest.mark.parametrize("base", [lj.sgd, lj.adamw, lj.lars])
def test_inside_shard_map(base):
    """Sharded parameters: each device as if it were alone with its own."""
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("d")
    tx = lj.accumulate(base(0.1), 2)

    def two_steps(w):
        state = tx.init(w)
        for _ in range(2):
            updates, state = tx.update(w, state, w, value=jnp.sum(w))
            w = optax.apply_updates(w, updates)
        return w

    start = jnp.arange(1.0, 5.0)
    sharded = jax.jit(jax.shard_map(two_steps, mesh=mesh, in_specs=spec, out_specs=spec))(start)
    alone = jnp.concatenate([two_steps(start[:2]), two_steps(start[2:])])
    np.testing.assert_allclose(sharded, alone, rtol=1e-6)
    if base is lj.sgd:
        np.testing.assert_allclose(sharded, 0.9 * start, rtol=1e-6)


def test_on_a_mesh_of_explicit_axes():
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Explicit,))
    tx = lj.accumulate(lj.adamw(0.1), 2)
    start = jnp.arange(1.0, 9.0).reshape(4, 2)
    with jax.set_mesh(mesh):
        w = jax.device_put(start, jax.NamedSharding(mesh, jax.sharding.PartitionSpec("d", None)))
        state = tx.init(w)
        update = jax.jit(tx.update)
        for _ in range(2):
            updates, state = update(w, state, w)
            w = optax.apply_updates(w, updates)
        assert jax.typeof(w).sharding.spec[0] == "d"
        assert update._cache_size() == 1
        found = np.asarray(w)
    plain = lj.adamw(0.1)
    expected = start + plain.update(start, plain.init(start), start)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_strict_promotion():
    tx = lj.accumulate(lj.adamw(lj.cosine_decay(0.1, 10)), 2)
    w = jnp.ones(2, jnp.bfloat16)
    with jax.numpy_dtype_promotion("strict"):
        _, state = tx.update(w, tx.init(w), w, value=1.0)
        updates, _ = tx.update(w, state, w, value=2.0)
    assert updates.dtype == jnp.bfloat16


def test_a_whole_number_stays_whole_and_its_users():
    number = jnp.float32(2.0)
    state = lj.accumulate(lj.sgd(1.0), number).init(PARAMS)
    assert state.every.dtype == jnp.float32
    jax.jit(lambda s: jax.tree.map(jnp.negative, s), donate_argnums=0)(state)
    assert not number.is_deleted()
    assert lj.accumulate(lj.sgd(1.0), 2).init(PARAMS).every.dtype == jnp.int32
    # Sums in float32 stand still at 2^24 = 16777216.
    tx = lj.accumulate(lj.sgd(1.0), 2**24 + 2)
    state = tx.init(PARAMS)._replace(microbatch=jnp.int32(2**24))
    first, state = tx.update(PARAMS, state, PARAMS)
    second, state = tx.update(PARAMS, state, PARAMS)
    assert not any(x.any() for x in jax.tree.leaves(first))
    assert all(x.any() for x in jax.tree.leaves(second))
