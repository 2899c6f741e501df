"""Our optimizers inside what Optax, Flax and Orbax offer, and back from a file bit by bit."""

from __future__ import annotations

import contextlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lropt_jax import (
    OPTIMIZERS,
    adam,
    cosine_decay,
    hyperparams,
    lars,
    linear,
    reduce_on_plateau,
    set_hyperparams,
    sgd,
    swats,
    warmup,
)
from tests.optimizer_settings import fixed, numbers

NAMES = sorted(OPTIMIZERS)
PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([0.3, -0.7])}


def make(name):
    return OPTIMIZERS[name](**numbers(name), **fixed(name))


def run(tx, params=PARAMS, steps=4, **extra):
    def step(carry, _):
        params, state = carry
        updates, state = tx.update(params, state, params, **extra)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, tx.init(params)), None, length=steps)[0]


@pytest.mark.parametrize("name", NAMES)
def test_extra_arguments_pass(name):
    seen = []

    def spy(updates, state, params=None, *, colour, **extra):
        seen.append(colour)
        return updates, state

    watcher = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), spy)
    tx = optax.chain(watcher, make(name))
    assert isinstance(make(name), optax.GradientTransformationExtraArgs)
    tx.update(PARAMS, tx.init(PARAMS), PARAMS, colour="red", value=1.0)
    assert seen == ["red"]


@pytest.mark.parametrize("name", NAMES)
def test_map_params(name):
    tx = make(name)
    state = tx.init(PARAMS)
    chex.assert_trees_all_equal(optax.tree.map_params(tx, lambda x: x, state), state)
    shapes = optax.tree.map_params(
        tx, lambda _, p: p.shape, state, PARAMS, transform_non_params=lambda _: None
    )
    moments = [x for x in jax.tree.leaves(state) if x.ndim]
    found = jax.tree.leaves(
        shapes, is_leaf=lambda x: isinstance(x, tuple) and not hasattr(x, "_fields")
    )
    assert sorted(x.shape for x in moments) == sorted(x for x in found if x)


@pytest.mark.parametrize("name", NAMES)
def test_masked_and_multi_transform(name):
    """A part of the tree, as if it were all: norms, switches and decays see only it."""
    whole, _ = run(make(name), {"w": PARAMS["w"]})
    masked, _ = run(optax.masked(make(name), {"w": True, "b": False}))
    chex.assert_trees_all_close(masked["w"], whole["w"], rtol=1e-6)
    labels = {"w": "ours", "b": "frozen"}
    parts = {"ours": make(name), "frozen": optax.set_to_zero()}
    several, _ = run(optax.multi_transform(parts, labels))
    chex.assert_trees_all_close(several["w"], whole["w"], rtol=1e-6)
    chex.assert_trees_all_equal(several["b"], PARAMS["b"])


@pytest.mark.parametrize("name", NAMES)
def test_multi_steps(name):
    """Two equal gradients make one update."""
    single, _ = run(make(name), steps=1)
    accumulated, state = run(optax.MultiSteps(make(name), 2), steps=2)
    chex.assert_trees_all_close(accumulated, single, rtol=1e-6)
    assert int(state.inner_opt_state.count) == 1


@pytest.mark.parametrize("name", NAMES)
def test_apply_if_finite_and_lookahead(name):
    tx = optax.apply_if_finite(make(name), 3)
    state = tx.init(PARAMS)
    bad = jax.tree.map(lambda p: p * jnp.nan, PARAMS)
    updates, state = tx.update(bad, state, PARAMS)
    chex.assert_trees_all_equal(updates, jax.tree.map(jnp.zeros_like, PARAMS))
    updates, state = tx.update(PARAMS, state, PARAMS)
    direct, _ = make(name).update(PARAMS, make(name).init(PARAMS), PARAMS)
    chex.assert_trees_all_close(updates, direct, rtol=1e-6)

    ahead = optax.lookahead(make(name), sync_period=2, slow_step_size=0.5)
    params = optax.LookaheadParams.init_synced(PARAMS)
    state = ahead.init(params)
    for _ in range(2):
        updates, state = ahead.update(params.fast, state, params)
        params = optax.apply_updates(params, updates)
    chex.assert_tree_all_finite(params)
    chex.assert_trees_all_close(params.fast, params.slow, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_schedule_free_and_inject_hyperparams(name):
    tx = optax.contrib.schedule_free(make(name), learning_rate=0.05)
    params, state = run(tx)
    chex.assert_tree_all_finite(optax.contrib.schedule_free_eval_params(state, params))

    injected = optax.inject_hyperparams(OPTIMIZERS[name], static_args=tuple(fixed(name)))(
        **numbers(name), **fixed(name)
    )
    chex.assert_trees_all_close(run(injected)[0], run(make(name))[0], rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_loop_inside_shard_map(name):
    """Sharded parameters: each device as if it were alone with its own."""
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("d")

    def train(w):
        return run(make(name), w)[0]

    start = jnp.arange(1.0, 5.0)
    sharded = jax.jit(jax.shard_map(train, mesh=mesh, in_specs=spec, out_specs=spec))(start)
    alone = jnp.concatenate([train(start[:2]), train(start[2:])])
    np.testing.assert_allclose(sharded, alone, rtol=1e-6)


def test_each_part_of_a_chain_is_adjusted_by_itself():
    tx = optax.multi_transform({"w": sgd(0.5), "b": sgd(0.25)}, {"w": "w", "b": "b"})
    state = tx.init(PARAMS)
    with pytest.raises(KeyError, match="labels are 'b', 'w'"):
        set_hyperparams(state, learning_rate=1.0)
    inner = set_hyperparams(state.inner_states["w"], learning_rate=1.0)
    state = state._replace(inner_states=state.inner_states | {"w": inner})
    updates, _ = tx.update(PARAMS, state, PARAMS)
    chex.assert_trees_all_equal(updates["w"], -PARAMS["w"])
    chex.assert_trees_all_equal(updates["b"], -0.25 * PARAMS["b"])


# Flax and Orbax.


@pytest.mark.parametrize("name", ["adam", "lars", "swats"])
def test_train_state(name):
    train_state = pytest.importorskip("flax.training.train_state")
    state = train_state.TrainState.create(apply_fn=None, params=PARAMS, tx=make(name))
    step = jax.jit(lambda s: s.apply_gradients(grads=s.params))
    state = step(step(state))
    chex.assert_trees_all_close(state.params, run(make(name), steps=2)[0], rtol=1e-6)
    assert float(hyperparams(state.opt_state)["learning_rate"]) == np.float32(0.05)
    changed = state.replace(opt_state=set_hyperparams(state.opt_state, learning_rate=0.0))
    compiled = step._cache_size()
    step(changed)
    assert step._cache_size() == compiled


@pytest.mark.parametrize("name", NAMES)
def test_nnx_optimizer(name):
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    start = jax.tree.map(jnp.copy, nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    optimizer = nnx.Optimizer(model, make(name), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        optimizer.update(model, nnx.state(model, nnx.Param))

    step(model, optimizer)
    step(model, optimizer)
    expected, _ = run(make(name), start, steps=2)
    chex.assert_trees_all_close(nnx.to_pure_dict(nnx.state(model, nnx.Param)), expected, rtol=1e-5)


def test_nnx_optimizer_shows_and_takes_numbers():
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, sgd(linear(1.0, 0.0, 4), momentum=0.5), wrt=nnx.Param)
    traces = []

    @nnx.jit
    def step(model, optimizer):
        traces.append(1)
        optimizer.update(model, nnx.state(model, nnx.Param))

    step(model, optimizer)
    assert float(hyperparams(optimizer.opt_state)["learning_rate"]) == 0.75
    optimizer.opt_state = set_hyperparams(
        optimizer.opt_state, learning_rate=linear(2.0, 0.0, 4), momentum=0.25
    )
    assert float(hyperparams(optimizer.opt_state)["learning_rate"]) == 1.5
    step(model, optimizer)
    assert float(hyperparams(optimizer.opt_state)["learning_rate"]) == 1.0
    assert float(hyperparams(optimizer.opt_state)["momentum"]) == 0.25
    assert len(traces) == 1
    optimizer.opt_state = set_hyperparams(optimizer.opt_state, learning_rate=0.5)
    step(model, optimizer)
    assert float(hyperparams(optimizer.opt_state)["learning_rate"]) == 0.5


def saved_states():
    tx = adam(warmup(cosine_decay(0.1, 10), 3), weight_decay=reduce_on_plateau(0.1))
    yield "schedules", tx, run(tx, value=1.0)[1]
    for name in NAMES:
        yield name, make(name), run(make(name))[1]


@pytest.mark.parametrize(("tx", "state"), [pytest.param(t, s, id=n) for n, t, s in saved_states()])
def test_flax_serialization_is_bit_exact(tx, state):
    serialization = pytest.importorskip("flax.serialization")
    again = serialization.from_bytes(tx.init(PARAMS), serialization.to_bytes(state))
    chex.assert_trees_all_equal_structs(again, state)
    chex.assert_trees_all_equal(again, state)
    chex.assert_trees_all_equal(tx.update(PARAMS, again, PARAMS), tx.update(PARAMS, state, PARAMS))


# Those whose moments mean the same, with which another goes on as if it had made them.
ALIKE = {frozenset({"adam", "lamb"})}


def test_a_state_is_not_restored_into_an_optimizer_to_which_it_means_something_else():
    serialization = pytest.importorskip("flax.serialization")
    plain = {name: OPTIMIZERS[name](0.1) for name in NAMES}
    decaying = {f"{name}, decayed": OPTIMIZERS[name](0.1, weight_decay=0.1) for name in NAMES}
    states = {name: tx.init(PARAMS) for name, tx in {**plain, **decaying}.items()}
    files = {name: serialization.to_bytes(state) for name, state in states.items()}
    taken = set()
    for here, state in states.items():
        for there in set(states) - {here}:
            with contextlib.suppress(ValueError):
                serialization.from_bytes(state, files[there])
                pair = {name.split(",")[0] for name in (here, there)}
                taken.add(frozenset(name.replace("adamw", "adam") for name in pair))
    assert {pair for pair in taken if len(pair) > 1} == ALIKE


@pytest.mark.parametrize(
    ("tx", "state"),
    [
        pytest.param(t, s, id=n)
        for n, t, s in saved_states()
        if n in {"schedules", "swats", "rprop"}
    ],
)
def test_orbax_is_bit_exact(tx, state, tmp_path):
    checkpoint = pytest.importorskip("orbax.checkpoint")
    with checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        again = checkpointer.restore(tmp_path / "state", jax.eval_shape(tx.init, PARAMS))
    chex.assert_trees_all_equal(again, state)
    chex.assert_trees_all_equal(tx.update(PARAMS, again, PARAMS), tx.update(PARAMS, state, PARAMS))


# Bad input.


def test_integer_parameters_are_named():
    with pytest.raises(ValueError, match=r"params\['n'\] must be floating-point.*int32"):
        adam(0.1).init({"w": jnp.ones(2), "n": jnp.arange(3)})


@pytest.mark.parametrize("number", ["l2", "weight_decay"])
def test_missing_params_are_named(number):
    tx = adam(0.1, **{number: 0.1})
    with pytest.raises(ValueError, match=f"params must be given.*{number} needs them"):
        tx.update(PARAMS, tx.init(PARAMS))


@pytest.mark.parametrize("name", ["lars", "lamb"])
def test_norms_need_params(name):
    tx = OPTIMIZERS[name](0.1)
    with pytest.raises(ValueError, match=f"params must be given.*{name} needs them"):
        tx.update(PARAMS, tx.init(PARAMS))
    with pytest.raises(ValueError, match="independent_decay must be False, got True"):
        OPTIMIZERS[name](0.1, independent_decay=True)


@pytest.mark.parametrize("mask", [{"w": True}, {"w": True, "c": False}, {"w": 1.0, "b": True}, "w"])
def test_masks_that_do_not_match(mask):
    with pytest.raises(ValueError, match="mask must be a pytree of bools"):
        adam(0.1, weight_decay=0.1, mask=mask).init(PARAMS)


@pytest.mark.parametrize(
    ("name", "bad", "allowed"),
    [
        ("sgd", {"nesterov": True}, "nesterov must be False without momentum"),
        ("sgd", {"momentum": 1.1}, r"momentum must be in \[0, 1\]"),
        ("sgd", {"nesterov": 3}, "nesterov must be True or False, got 3"),
        ("sgd", {"momentum": 0.9, "nesterov": True, "dampening": 0.5}, "dampening must be 0 with"),
        ("qhm", {"momentum": 1.0}, r"momentum must be in \[0, 1\)"),
        ("sgd", {"dampening": -0.5}, r"dampening must be in \[0, 1\]"),
        ("rprop", {"eta_minus": 1.5}, r"eta_minus must be in \(0, 1\)"),
        ("rprop", {"eta_plus": 0.5}, "eta_plus must be a finite number > 1"),
        ("rprop", {"min_step": 60.0}, "min_step must be at most max_step = 50.0, got 60.0"),
        ("local_gains", {"min_gain": 20.0, "max_gain": 10.0}, "min_gain must be at most max_gain"),
        ("local_gains", {"max_gain": float("nan")}, "max_gain must be"),
        ("rmsprop", {"decay": 1.0}, r"decay must be in \[0, 1\)"),
        ("adadelta", {"rho": 1.0}, r"rho must be in \[0, 1\)"),
        ("adagrad", {"initial_accumulator_value": -1.0}, "initial_accumulator_value must be"),
        ("lars", {"trust_coefficient": float("nan")}, "trust_coefficient must be"),
        ("nadam", {"momentum_decay": -1.0}, "momentum_decay must be"),
        ("swats", {"switch_rtol": -1.0}, "switch_rtol must be"),
        ("adamw", {"weight_decay": -1.0}, "weight_decay must be a finite number >= 0, got -1.0"),
        ("qhadam", {"nu2": 1.5}, r"nu2 must be in \[0, 1\]"),
    ],
)
def test_nonsense_is_named(name, bad, allowed):
    with pytest.raises(ValueError, match=allowed):
        OPTIMIZERS[name](0.1, **bad)


# Decay and its mask, the same everywhere.


@pytest.mark.parametrize("mask", [{"w": True, "b": False}, lambda p: {"w": True, "b": False}])
def test_the_mask_is_for_both_decays(mask):
    tx = sgd(0.5, l2=0.1, weight_decay=0.2, mask=mask)
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    chex.assert_trees_all_close(updates["w"], -0.5 * (1 + 0.1 + 0.2) * PARAMS["w"], rtol=1e-6)
    chex.assert_trees_all_close(updates["b"], -0.5 * PARAMS["b"], rtol=1e-6)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"lars", "lamb"}))
def test_decoupled_and_independent_decay(name):
    plain = OPTIMIZERS[name](0.25, weight_decay=None)
    decoupled = OPTIMIZERS[name](0.25, weight_decay=0.5)
    independent = OPTIMIZERS[name](0.25, weight_decay=0.5, independent_decay=True)
    base, by_rate, by_itself = (
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)[0]["w"] for tx in (plain, decoupled, independent)
    )
    np.testing.assert_allclose(by_rate - base, -0.125 * PARAMS["w"], rtol=1e-5)
    np.testing.assert_allclose(by_itself - base, -0.5 * PARAMS["w"], rtol=1e-5)


def test_no_decay_costs_nothing():
    def size(tx):
        return len(jax.make_jaxpr(tx.update)(PARAMS, tx.init(PARAMS), PARAMS).jaxpr.eqns)

    assert size(adam(0.1)) < size(adam(0.1, l2=0.1))
    moments = [x for x in jax.tree.leaves(adam(0.1).init(PARAMS)) if x.ndim]
    assert len(moments) == 4
    assert all(x.ndim == 0 for x in jax.tree.leaves(sgd(0.1).init(PARAMS)))


def test_a_switch_can_be_read_anywhere():
    tx = optax.chain(optax.clip(10.0), swats(0.05, switch_rtol=0.5))
    _, state = run(tx)
    assert bool(optax.tree.get(state, "switched"))
    assert float(optax.tree.get(state, "sgd_learning_rate")) > 0
    _, state = run(lars(0.1))
    assert int(optax.tree.get(state, "count")) == 4  # one count only
