"""Hyperparameters as data: every promise of `tunable`, `set_hyperparams` and their like."""

from __future__ import annotations

import pickle
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax
from lropt_jax import (
    TunableState,
    adam,
    adamw,
    constant,
    cosine_decay,
    hyperparams,
    linear,
    observe,
    one_cycle,
    one_cycle_momentum,
    reduce_on_plateau,
    rprop,
    set_hyperparams,
    sgd,
    tunable,
    warmup,
)
from lropt_jax.optimizers import scale_by_adam
from lropt_jax.validation import InOrder, NonNegative, UnitInterval, requires

P = jnp.array([1.0, -2.0])


def rate(state):
    return np.asarray(hyperparams(state)["learning_rate"]).tolist()


# Numbers in, numbers out.


@pytest.mark.parametrize(
    "number",
    [
        0.25,
        np.float64(0.25),
        np.array(0.25, np.float16),
        jnp.array(0.25, jnp.bfloat16),
        constant(0.25),
        lambda count: 0.25 + 0 * count,
        optax.constant_schedule(0.25),
    ],
    ids=["float", "numpy", "float16", "bfloat16", "Schedule", "callable", "optax"],
)
def test_a_number_may_be_anything(number):
    tx = sgd(number)
    state = tx.init(P)
    assert rate(state) == 0.25
    updates, _ = jax.jit(tx.update)(P, state, P)
    np.testing.assert_array_equal(updates, -0.25 * P)


def test_a_number_may_be_a_tracer():
    def step(r):
        tx = sgd(r)
        return tx.update(P, tx.init(P), P)[0]

    np.testing.assert_array_equal(jax.jit(step)(0.5), -0.5 * P)
    np.testing.assert_array_equal(jax.vmap(step)(jnp.array([0.5, 1.0]))[1], -P)
    np.testing.assert_allclose(jax.jacfwd(step)(0.5), -P)


@pytest.mark.parametrize("integer", [1, np.int64(1), jnp.array(1)])
def test_integers_are_floats(integer):
    state = set_hyperparams(sgd(integer).init(P), learning_rate=0.5)
    assert rate(state) == 0.5


def test_an_integer_default_stays_an_integer():
    factory = tunable(lambda learning_rate, every=3: optax.sgd(learning_rate * (every % 2)))
    state = factory(1).init(P)
    assert hyperparams(state)["every"].dtype == jnp.int32
    assert hyperparams(state)["learning_rate"].dtype == jnp.float32


def test_an_annotation_as_int_means_structure():
    def factory(learning_rate, steps: int = 3):
        return optax.sgd(learning_rate * range(steps)[-1])

    tx = tunable(factory)(0.1, steps=4)
    assert set(hyperparams(tx.init(P))) == {"learning_rate"}
    np.testing.assert_allclose(tx.update(P, tx.init(P), P)[0], -0.3 * P)


def test_the_value_is_what_the_next_update_uses():
    tx = sgd(linear(1.0, 0.0, 4))
    state = tx.init(P)
    for expected in (1.0, 0.75, 0.5, 0.25, 0.0):
        assert rate(state) == expected
        updates, state = tx.update(P, state, P)
        np.testing.assert_array_equal(updates, -expected * P)
    assert int(state.count) == 5


# Setting.


def test_set_is_used_by_the_next_update():
    tx = sgd(0.5)
    state = set_hyperparams(tx.init(P), learning_rate=0.25)
    np.testing.assert_array_equal(tx.update(P, state, P)[0], -0.25 * P)


def test_unknown_names_list_the_known_ones():
    words = r"unknown .*'lr'; did you mean 'learning_rate'\? Known: b1, b2, eps, learning_rate"
    with pytest.raises(KeyError, match=words):
        set_hyperparams(adam(0.1).init(P), lr=0.2)
    with pytest.raises(KeyError, match=r"unknown hyperparameter 1; .*Known: b1, b2"):
        set_hyperparams(adam(0.1).init(P), {1: 0.2})


@pytest.mark.parametrize(
    ("tx", "new", "words"),
    [
        (adam(0.1), {"weight_decay": 0.1}, "weight_decay is None by the way this adam is built"),
        (sgd(0.1), {"momentum": 0.9}, "momentum is None .* set is dampening, learning_rate"),
        (sgd(0.1, momentum=0.9), {"nesterov": True}, "nesterov is False by the way this sgd is"),
        (tunable(optax.lion, static="b1")(0.1), {"b1": 0.5}, "b1 is 0.9 by the way this lion is"),
    ],
)
def test_what_is_no_number_of_the_state_is_not_unknown(tx, new, words):
    with pytest.raises(KeyError, match=words):
        set_hyperparams(tx.init(P), **new)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", -1.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("b1", 1.0),
        ("b2", 1 - 1e-9),  # 1 in float32
        ("b1", -0.1),
        ("eps", -1e-8),
        ("eps", "small"),
    ],
)
def test_bad_numbers_are_refused_alike(name, value):
    state = adam(0.1).init(P)
    with pytest.raises(ValueError, match=f"{name} must be"):
        adam(**({"learning_rate": 0.1} | {name: value}))
    with pytest.raises(ValueError, match=f"{name} must be"):
        set_hyperparams(state, **{name: value})


def test_conditions_between_numbers_hold_when_one_is_set():
    rest = "min_step must be at most max_step = 1.0, got 2.0"
    with pytest.raises(ValueError, match=rest):
        rprop(0.1, min_step=2.0, max_step=1.0)
    state = rprop(0.1, max_step=1.0).init(P)
    for new in ({"min_step": 2.0}, {"max_step": 1e-7}, {"min_step": 3.0, "max_step": 2.0}):
        with pytest.raises(ValueError, match="min_step must be at most max_step"):
            set_hyperparams(state, **new)
    state = set_hyperparams(state, min_step=2.0, max_step=3.0)
    population = jax.vmap(lambda r: set_hyperparams(state, learning_rate=r))(jnp.ones(2))
    with pytest.raises(ValueError, match="min_step must be at most max_step"):
        set_hyperparams(population, min_step=jnp.array([1.0, 4.0]))
    state = sgd(0.1, 0.9, nesterov=True).init(P)
    with pytest.raises(ValueError, match=r"dampening must be 0 with nesterov.*got 0.5"):
        set_hyperparams(state, dampening=0.5)
    set_hyperparams(sgd(0.1, 0.9).init(P), dampening=0.5)


def test_annotations_of_a_users_own_factory_hold():
    def pulled(learning_rate: NonNegative, pull: UnitInterval = 0.5, mode: Literal["l", "r"] = "l"):
        return optax.sgd(learning_rate * pull)

    factory = tunable(requires(InOrder("learning_rate", "pull"))(pulled))
    with pytest.raises(ValueError, match=r"pull must be in \[0, 1\], got 2.0"):
        factory(0.1, pull=2.0)
    with pytest.raises(ValueError, match="mode must be one of 'l', 'r', got 'x'"):
        factory(0.1, mode="x")
    with pytest.raises(ValueError, match=r"learning_rate must be at most pull = 0\.5"):
        factory(0.75)
    state = factory(0.1).init(P)
    with pytest.raises(ValueError, match=r"pull must be in \[0, 1\], got 2.0"):
        set_hyperparams(state, pull=2.0)
    with pytest.raises(ValueError, match="learning_rate must be at most pull"):
        set_hyperparams(state, learning_rate=0.75)
    assert pickle.loads(pickle.dumps(state)).hyperparams.factory == state.hyperparams.factory


def test_without_annotations_a_number_must_be_finite_where_its_default_is():
    make = tunable(lambda lr, decay=0.5, momentum=None, high=float("inf"): optax.sgd(lr))
    state = set_hyperparams(make(-1.0, decay=100, momentum=7.0).init(P), decay=-2, momentum=1.0)
    assert float(hyperparams(state)["decay"]) == -2.0
    make(0.1, high=float("inf"))
    with pytest.raises(ValueError, match="decay must be a finite number, got inf"):
        make(0.1, decay=float("inf"))
    with pytest.raises(ValueError, match="high must be a number, got nan"):
        make(0.1, high=float("nan"))


def test_what_a_factory_calls_refuses_numbers_at_once():
    make = tunable(lambda lr, b=0.9: adam(cosine_decay(lr, 10), b1=b))
    with pytest.raises(ValueError, match="b1 must be in"):
        make(0.1, b=1.5)
    with pytest.raises(ValueError, match="learning_rate must be"):
        tunable(lambda lr, b=0.9: adam(lr, b1=b))(-1.0)
    make(linear(0.1, 0.0, 10), b=lambda count: 0.9)


def test_a_step_keeps_what_the_state_knows():
    tx = rprop(0.1)
    _, state = jax.jit(tx.update)(P, tx.init(P), P)
    with pytest.raises(ValueError, match="min_step must be at most"):
        set_hyperparams(state, min_step=60.0)
    again = rprop(0.2).init(P)
    assert jax.tree.structure(state) == jax.tree.structure(again)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: adam(lr=0.1), "adam: got an unexpected keyword argument 'lr'; did you mean 'lear"),
        (lambda: adam(0.1, betas=(0.9, 0.99)), "'betas'; did you mean 'b1'"),
        (lambda: sgd(0.1, weigth_decay=0.1), "'weigth_decay'; did you mean 'weight_decay'"),
        (lambda: one_cycle(max_lr=0.1, total_steps=9), "'max_lr'; did you mean 'peak_value'"),
        (lambda: cosine_decay(0.1, T_max=9), "'T_max'; did you mean 'decay_steps'"),
        (lambda: cosine_decay(0.1, 9, end_value=0), "'end_value'; did you mean 'alpha'"),
        (lambda: linear(0.1, 0.0, decay_steps=9), "'decay_steps'; did you mean 'transition_steps'"),
        (
            lambda: lropt_jax.exponential_decay(0.1, decay_steps=9),
            "'decay_steps'; did you mean 'transition_steps'",
        ),
        (lambda: lropt_jax.rmsprop(0.1, rho=0.9), "'rho'; did you mean 'decay'"),
        (
            lambda: one_cycle_momentum(100),
            r"one_cycle_momentum\(total_steps=...\).*base_value = 100",
        ),
        (lambda: adam(), "adam: missing a required argument: 'learning_rate'"),
    ],
)
def test_unknown_words_are_named(wrong, words):
    with pytest.raises(TypeError, match=words):
        wrong()


def test_missing_numbers_are_refused():
    with pytest.raises(ValueError, match="learning_rate must be a number or a schedule, got None"):
        adam(None)
    with pytest.raises(ValueError, match="b1 must be a number or a schedule, got None"):
        adam(0.1, b1=None)
    with pytest.raises(ValueError, match=r"learning_rate must be a scalar.*vmap"):
        adam(jnp.ones(3))


def test_a_bad_tracer_passes():
    assert np.isnan(jax.jit(lambda r: sgd(r).init(P).hyperparams["learning_rate"])(np.nan))


@pytest.mark.parametrize(
    ("first", "second"),
    [(0.5, 0.25), (0.5, jnp.array(0.25, jnp.bfloat16)), (linear(1.0, 0.0, 4), linear(0.5, 0, 9.0))],
)
def test_like_for_like_never_recompiles(first, second):
    tx = adam(first)
    state = tx.init(P)
    update = jax.jit(tx.update)
    _, state = update(P, state, P)
    _, state = update(P, set_hyperparams(state, learning_rate=second), P)
    update(P, state, P)
    assert update._cache_size() == 1


def test_a_schedule_over_a_number_changes_the_structure():
    tx = sgd(0.5)
    state = set_hyperparams(tx.init(P), learning_rate=linear(1.0, 0.0, 4))
    _, state = tx.update(P, state, P)
    assert rate(state) == 0.75
    state = set_hyperparams(state, learning_rate=0.125)
    assert rate(state) == 0.125


# Structure.


def test_leaves_look_the_same_before_and_after():
    tx = adam(warmup(cosine_decay(0.1, 10), 3), weight_decay=jnp.float16(0.1))
    state = tx.init(P)
    _, after = tx.update(P, state, P)
    chex.assert_trees_all_equal_structs(state, after)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (a.dtype, a.weak_type, a.shape) == (b.dtype, b.weak_type, b.shape)
        assert not a.weak_type


def test_the_order_of_names_is_no_structure():
    one = set_hyperparams(adam(0.1).init(P), b1=0.5, eps=0.1)
    other = set_hyperparams(adam(0.1).init(P), eps=0.1, b1=0.5)
    assert jax.tree.structure(one) == jax.tree.structure(other)


def test_nothing_is_made_at_construction():
    with jax.transfer_guard("disallow"):  # an array from a number is a transfer
        before = len(jax.live_arrays())
        adam(0.1, l2=0.1)
        adamw(linear(0.1, 0.0, 10))
        assert len(jax.live_arrays()) == before


def test_states_pickle():
    state = adam(linear(0.1, 0.0, 10)).init(P)
    again = pickle.loads(pickle.dumps(state))
    chex.assert_trees_all_equal(state, again)
    assert pickle.loads(pickle.dumps(adam)) is adam


def test_numbers_that_were_put_in_by_hand_are_numbers():
    tx, state = adam(0.1), adam(0.1).init(P)
    step = jax.jit(lambda s: tx.update(P, s, P)[1])
    state = step(state)
    state.hyperparams["learning_rate"] = 0.5
    by_tree_set = optax.tree.set(state, learning_rate=0.5)
    for given in (state, by_tree_set):
        assert (
            float(set_hyperparams(given, learning_rate=0.25).hyperparams["learning_rate"]) == 0.25
        )
        same = jax.tree.structure(set_hyperparams(given, b1=0.5)) == jax.tree.structure(given)
        assert same
    state = step(state)
    compiled = step._cache_size()
    step(state)
    assert step._cache_size() == compiled


def test_shapes_of_a_state_give_shapes():
    tx = optax.chain(optax.clip(1.0), adam(reduce_on_plateau(0.1)))
    shapes, state = jax.eval_shape(tx.init, P), tx.init(P)
    for function in (hyperparams, lambda s: set_hyperparams(s, b1=0.5), lambda s: observe(s, 1.0)):
        found, expected = function(shapes), jax.eval_shape(function, state)
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        assert jax.tree.leaves(found) == jax.tree.leaves(expected)


# Finding.


def test_found_anywhere_inside_a_chain():
    tx = optax.chain(optax.clip(1.0), optax.masked(adam(0.5), True))
    state = set_hyperparams(tx.init(P), learning_rate=0.25)
    assert rate(state) == 0.25
    updates, _ = tx.update(P, state, P)
    np.testing.assert_allclose(updates, -0.25 * jnp.sign(P), rtol=1e-5)


@pytest.mark.parametrize("reader", [hyperparams, set_hyperparams, lambda s: observe(s, 1.0)])
def test_none_is_said(reader):
    with pytest.raises(ValueError, match="no tunable optimizer"):
        reader(optax.adam(0.1).init(P))


# Populations.


def test_a_population_of_states():
    tx = adam(0.1)
    rates = jnp.array([0.1, 0.2, 0.3])
    one = tx.init(P)
    states = jax.vmap(lambda r: set_hyperparams(one, learning_rate=r))(rates)
    np.testing.assert_allclose(hyperparams(states)["learning_rate"], rates)
    states = set_hyperparams(states, b1=0.5, learning_rate=rates * 2)
    np.testing.assert_allclose(hyperparams(states)["learning_rate"], 2 * rates)
    assert hyperparams(states)["b1"].shape == (3,)
    updates, _ = jax.vmap(tx.update, in_axes=(None, 0, None))(P, states, P)
    np.testing.assert_allclose(updates[:, 0], -2 * rates, rtol=1e-5)
    with pytest.raises(ValueError, match=r"learning_rate.*population's shape \(3,\)"):
        set_hyperparams(states, learning_rate=jnp.ones(2))


def test_a_population_of_schedules():
    tx = sgd(linear(1.0, 0.0, 4))
    one = tx.init(P)
    states = jax.vmap(lambda s: set_hyperparams(one, learning_rate=linear(s, 0.0, 4)))(
        jnp.array([1.0, 2.0])
    )
    _, states = jax.vmap(tx.update, in_axes=(None, 0, None))(P, states, P)
    assert rate(states) == [0.75, 1.5]


# Observing.


def test_observations_act_on_the_next_update():
    tx = sgd(reduce_on_plateau(1.0, factor=0.5, patience=0))
    state = tx.init(P)
    used = []
    for value in (3.0, 3.0, 3.0):
        shown = rate(state)
        updates, state = tx.update(P, state, P, value=value)
        used.append(float(-updates[0]))
        assert used[-1] == shown
    assert used == [1.0, 1.0, 0.5]
    assert rate(state) == 0.25


def test_observe_equals_value():
    tx = sgd(reduce_on_plateau(1.0, factor=0.5, patience=1))
    by_update, by_observe = tx.init(P), tx.init(P)
    for value in (2.0, 3.0, 3.0, 1.0, 4.0, 4.0):
        _, by_update = tx.update(P, by_update, P, value=value)
        _, by_observe = tx.update(P, by_observe, P)
        by_observe = observe(by_observe, value)
    chex.assert_trees_all_equal(by_update, by_observe)
    assert rate(by_update) == 0.25


def test_each_member_observes_its_own():
    tx = sgd(reduce_on_plateau(1.0, factor=0.5, patience=0))
    states = jax.vmap(tx.init)(jnp.ones((2, 3)))
    states = observe(states, 1.0)
    states = observe(states, jnp.array([0.5, 2.0]))
    assert rate(states) == [1.0, 0.5]


def test_without_a_schedule_that_observes():
    with pytest.raises(ValueError, match=r"reduce_on_plateau.*learning_rate"):
        observe(sgd(0.1).init(P), 1.0)


# Factories inside factories.


def test_the_outer_tunable_owns_the_numbers():
    tx = tunable(lambda peak, wd: adamw(cosine_decay(peak, 4), weight_decay=wd))(0.5, 0.0)
    state = tx.init(P)
    assert set(hyperparams(state)) == {"peak", "wd"}
    assert isinstance(state, TunableState)
    assert not isinstance(state.inner_state, TunableState)
    for t in range(3):
        expected = 0.25 * float(cosine_decay(1.0, 4)(t))
        updates, state = tx.update(P, set_hyperparams(state, peak=0.25), P)
        np.testing.assert_allclose(np.abs(updates), expected, rtol=1e-4)


def test_feedback_inside_a_factory_is_kept():
    direct = sgd(reduce_on_plateau(1.0, factor=0.5, patience=1), momentum=0.5)
    inside = tunable(
        lambda factor: sgd(2.0 * reduce_on_plateau(0.5, factor=factor, patience=1), momentum=0.5)
    )(0.5)
    a, b = direct.init(P), inside.init(P)
    update = jax.jit(inside.update)
    for value in (2.0, 3.0, 3.0, 1.0, 4.0, 4.0, 4.0, 5.0):
        x, a = direct.update(P, a, P, value=value)
        y, b = update(P, b, P, value=value)
        np.testing.assert_allclose(x, y)
    assert update._cache_size() == 1
    assert rate(a) < 0.2


def test_feedback_inside_a_factory_in_a_population():
    tx = tunable(lambda factor: sgd(2.0 * reduce_on_plateau(0.5, factor=factor, patience=1)))(0.5)
    states = jax.vmap(lambda f: set_hyperparams(tx.init(P), factor=f))(jnp.array([0.5, 0.1]))
    step = jax.jit(jax.vmap(tx.update, in_axes=(None, 0, None)))
    _, states = step(P, states, P)
    for value in (1.0, jnp.array([2.0, 0.5]), jnp.array([2.0, 0.4]), 5.0, 5.0):
        states = observe(states, value)
    updates, states = step(jnp.ones(2), states, P)
    np.testing.assert_allclose(updates[:, 0], [-0.25, -0.1], rtol=1e-6)
    assert step._cache_size() == 1


def test_tunable_twice_is_once():
    assert tunable(adam) is adam


# Optax's factories.


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize(
    "factory",
    [
        optax.adam,
        optax.adamw,
        optax.lion,
        optax.sgd,
        optax.rmsprop,
        optax.adagrad,
        optax.lamb,
        optax.nadam,
        optax.yogi,
        optax.radam,
        optax.adan,
    ],
)
def test_optax_under_tunable(factory, dtype):
    """Equal to Optax with constants; no dtype changes with numbers of float32."""
    params = P.astype(dtype)
    tx, plain = tunable(factory)(0.1), factory(0.1)
    state, reference = tx.init(params), plain.init(params)

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(params, state, params)
        return (params + updates, state), updates

    (_, state), updates = jax.lax.scan(step, (params, state), None, length=3)
    assert updates.dtype == dtype
    expected, _ = plain.update(params, reference, params)
    # Numbers in float32 are not Python's: 1 - 0.999 is 1e-5 off.
    tolerance = 1e-4 if dtype == jnp.float32 else 2e-2
    np.testing.assert_allclose(updates[0].astype(float), expected.astype(float), rtol=tolerance)


def test_static_names_and_masks():
    def mask(params):
        return jax.tree.map(lambda p: p.ndim > 0, params)

    tx = tunable(optax.adamw)(0.1, mask=mask)
    assert "mask" not in hyperparams(tx.init(P))
    tx = tunable(
        lambda learning_rate, steps: optax.sgd(learning_rate * range(steps)[-1]), static=("steps",)
    )(0.1, steps=3)
    assert set(hyperparams(tx.init(P))) == {"learning_rate"}
    np.testing.assert_allclose(tx.update(P, tx.init(P), P)[0], -0.2 * P)


def test_inject_hyperparams_accepts_constants():
    tx = optax.inject_hyperparams(adam)(learning_rate=0.5)
    updates, _ = jax.jit(tx.update)(P, tx.init(P), P)
    np.testing.assert_allclose(updates, -0.5 * jnp.sign(P), rtol=1e-5)


def test_scales_may_be_tuned_too():
    tx = optax.chain(tunable(scale_by_adam)(b1=0.5), optax.scale(-0.5))
    state = set_hyperparams(tx.init(P), b1=0.25)
    updates, _ = tx.update(P, state, P)
    np.testing.assert_allclose(updates, -0.5 * jnp.sign(P), rtol=1e-5)
