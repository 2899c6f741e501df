"""What happens to a state in a user's hands: donated, placed, cast, injected, set under way."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lropt_jax import (
    OPTIMIZERS,
    accumulate,
    adam,
    adamw,
    cosine_decay,
    hyperparams,
    linear,
    natural_exp_decay,
    observe,
    one_cycle,
    one_cycle_momentum,
    reduce_on_plateau,
    set_hyperparams,
    sgd,
    starting_now,
    time_decay,
    tunable,
)

P = jnp.array([1.0, -2.0])


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (sgd(0.1).init(P), "the numbers b1, b2, eps, learning_rate, got one with dampening, learn"),
        (adamw(0.1).init(P), "got one with b1, b2, eps, learning_rate, weight_decay"),
        (optax.adam(0.1).init(P), "gives, got tuple; .* from_optax"),
        (adam(0.1).init(P).inner_state, "gives, got ScaleByAdamState; .* from_optax"),
        ({"w": P}, r"gives, got dict; .* takes \(updates, state, params\)"),
    ],
)
def test_a_state_that_is_another_optimizers_is_refused(state, words):
    """Where some numbers are missing, and where some would be ignored."""
    with pytest.raises(ValueError, match=f"state must be one that init of this adam .*{words}"):
        adam(0.1).update(P, state, P)


# Donated.


def test_a_donated_state_takes_nothing_of_its_users_with_it():
    rates = jnp.geomspace(1e-3, 1.0, 8)
    params = jnp.zeros((8, 2))
    states = jax.vmap(lambda rate: adam(rate).init(jnp.zeros(2)))(rates)
    step = jax.jit(jax.vmap(adam(0.1).update), donate_argnums=1)
    for _ in range(2):
        _, states = step(params, states, params)
    assert not rates.is_deleted()

    rate = jnp.float32(0.1)
    tx = sgd(rate)
    update = jax.jit(tx.update, donate_argnums=1)
    for init in (tx.init, tx.init, jax.jit(tx.init), jax.jit(lambda p: sgd(rate).init(p))):
        np.testing.assert_allclose(update(P, init(P), P)[0], -0.1 * P)
    state = jax.jit(lambda r: sgd(r).init(P))(rate)  # jit hands its inputs on
    state = set_hyperparams(state, learning_rate=rate)
    update(P, state, P)
    assert not rate.is_deleted()


@pytest.mark.parametrize(
    "make",
    [
        lambda x: adam(0.1, b1=x, b2=x),
        lambda x: adam(linear(x, x, 10), b1=x),
        lambda x: sgd(reduce_on_plateau(x, min_value=x), momentum=x),
        lambda x: tunable(lambda r: sgd(reduce_on_plateau(r)))(x),
        lambda x: accumulate(sgd(x), every=x + 1),
        lambda x: tunable(optax.contrib.schedule_free_sgd)(x),  # which keeps the parameters
    ],
)
def test_no_two_arrays_of_a_state_are_one(make):
    number = jnp.float32(0.5)
    params = {"w": P, "v": P + 1}
    tx = make(number)
    state = tx.init(params)
    pointers = [x.unsafe_buffer_pointer() for x in jax.tree.leaves((state, params, number))]
    assert len(set(pointers)) == len(pointers)
    jax.jit(tx.update, donate_argnums=1)(params, state, params)
    assert not number.is_deleted()


# Placed.


def placements():
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    yield jax.devices()[0]
    yield jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())


@pytest.mark.parametrize("where", [0, 1])
def test_a_number_set_lies_where_the_old_one_did(where):
    place = list(placements())[where]
    params = jax.device_put(P, place)
    tx = adamw(linear(0.1, 0.0, 9))
    step = jax.jit(tx.update)
    _, state = step(params, jax.device_put(tx.init(params), place), params)
    _, state = step(params, state, params)
    programs = step._cache_size()
    for new in ({"b1": 0.5}, {"learning_rate": linear(0.2, 0.0, 9)}, {"b2": jnp.float32(0.9)}):
        state = set_hyperparams(state, **new)
        _, state = step(params, state, params)
    assert step._cache_size() == programs
    state = set_hyperparams(state, learning_rate=0.5)  # another structure: one more
    for _ in range(2):
        _, state = step(params, state, params)
    assert step._cache_size() == programs + 1


# Cast.


def test_a_state_cast_to_half_precision_is_refused():
    def half(x):
        return x.astype(jnp.bfloat16) if jnp.issubdtype(x.dtype, jnp.floating) else x

    for tx in (adam(1e-3), sgd(cosine_decay(0.1, 10)), tunable(optax.adam)(1e-3)):
        with pytest.raises(ValueError, match=r"bfloat16.*rounds 0.999 to 1.*map_params"):
            tx.update(P, jax.tree.map(half, tx.init(P)), P)
    tx = adam(1e-3)
    moments = optax.tree.map_params(tx, half, tx.init(P))
    updates, after = tx.update(P, moments, P)
    np.testing.assert_allclose(updates, -1e-3 * jnp.sign(P), rtol=1e-2)
    assert after.inner_state.mu.dtype == jnp.bfloat16


# Injected: Optax's own way to numbers in a state.


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_under_inject_hyperparams_its_numbers_are_used(name):
    factory = OPTIMIZERS[name]
    tx = optax.inject_hyperparams(factory)(learning_rate=optax.linear_schedule(0.5, 0.0, 4))
    ours = factory(linear(0.5, 0.0, 4))
    state, own = tx.init(P), ours.init(P)
    update = jax.jit(tx.update)
    for _ in range(3):
        updates, state = update(P, state, P)
        expected, own = ours.update(P, own, P)
        np.testing.assert_allclose(updates, expected, rtol=2e-4)
    tx = optax.inject_hyperparams(factory)(learning_rate=0.5)
    state = tx.init(P)
    state.hyperparams["learning_rate"] = jnp.float32(0.25)
    expected, _ = factory(0.25).update(P, factory(0.25).init(P), P)
    np.testing.assert_allclose(tx.update(P, state, P)[0], expected, rtol=1e-5)


def test_within_a_factory_that_is_injected_too():
    def clipped(learning_rate):
        return optax.chain(optax.clip(1.0), sgd(learning_rate))

    tx = optax.inject_hyperparams(clipped)(learning_rate=lambda count: 1.0 / (1 + count))
    state, steps = tx.init(P), []
    for _ in range(3):
        updates, state = tx.update(jnp.ones(2), state, P)
        steps.append(float(updates[0]))
    np.testing.assert_allclose(steps, [-1, -1 / 2, -1 / 3], rtol=1e-6)


def test_what_inject_hyperparams_would_ignore_is_refused():
    inject = optax.inject_hyperparams
    with pytest.raises(ValueError, match=r"reduce_on_plateau would see nothing.*leave it out"):
        inject(sgd)(reduce_on_plateau(0.1)).init(P)
    with pytest.raises(ValueError, match=r"b1 must be a number.*leave inject_hyperparams out"):
        inject(lambda lr: adam(lr, b1=one_cycle_momentum(total_steps=9)))(0.1).init(P)
    with pytest.raises(ValueError, match=r"bfloat16.*hyperparam_dtype=jnp.float32"):
        inject(adam)(0.1).init(P.astype(jnp.bfloat16))
    inject(adam, hyperparam_dtype=jnp.float32)(0.1).init(P.astype(jnp.bfloat16))


# Set under way.


def test_a_plateau_in_a_factory_follows_its_number():
    make = tunable(lambda lr: sgd(reduce_on_plateau(lr, factor=0.5, patience=0)))
    tx = make(0.125)
    update = jax.jit(tx.update)
    state = set_hyperparams(tx.init(P), lr=0.5)  # nothing observed yet
    np.testing.assert_array_equal(update(P, state, P)[0], -0.5 * P)
    state = observe(observe(tx.init(P), 1.0), 1.0)  # one cut
    np.testing.assert_array_equal(update(P, state, P)[0], -0.0625 * P)
    state = set_hyperparams(state, lr=0.5)
    np.testing.assert_array_equal(update(P, state, P)[0], -0.25 * P)
    _, state = update(P, state, P)
    np.testing.assert_array_equal(update(P, observe(state, 1.0), P)[0], -0.125 * P)


def test_the_loss_of_a_rate_that_is_set_under_way():
    """By hand: 20 steps at 0.02 on a loss of gradient 1, then at 0.2."""
    tx = tunable(lambda lr: sgd(reduce_on_plateau(lr, patience=100)))(0.02)
    params, state = jnp.zeros(1), tx.init(jnp.zeros(1))
    for step in range(40):
        if step == 20:
            state = set_hyperparams(state, lr=0.2)
        updates, state = tx.update(jnp.ones(1), state, params, value=float(params[0]))
        params = params + updates
    np.testing.assert_allclose(params, -20 * 0.02 - 20 * 0.2, rtol=1e-5)
    assert float(hyperparams(state)["lr"]) == np.float32(0.2)


def test_a_plateau_under_vmap_follows_each_its_number():
    tx = tunable(lambda lr: sgd(reduce_on_plateau(lr, factor=0.5, patience=0)))(1.0)
    rates = jnp.array([1.0, 4.0])
    states = jax.vmap(lambda r: set_hyperparams(tx.init(P), lr=r))(rates)
    states = observe(observe(states, 1.0), jnp.array([1.0, 0.5]))
    updates, _ = jax.vmap(tx.update, in_axes=(None, 0, None))(P, states, P)
    np.testing.assert_array_equal(updates[:, 0], [-0.5, -4.0])


def test_a_schedule_set_under_way_is_in_its_middle_unless_it_starts_now():
    tx = sgd(0.5)
    state = tx.init(P)
    for _ in range(3):
        _, state = tx.update(P, state, P)
    decay = linear(1.0, 0.0, 4)
    there = set_hyperparams(state, learning_rate=decay)
    assert float(hyperparams(there)["learning_rate"]) == 0.25
    anew = set_hyperparams(state, learning_rate=starting_now(decay, state))
    rates = []
    update = jax.jit(tx.update)
    for _ in range(5):
        rates.append(float(hyperparams(anew)["learning_rate"]))
        _, anew = update(P, anew, P)
    assert rates == [1.0, 0.75, 0.5, 0.25, 0.0]
    many = jax.vmap(lambda r: set_hyperparams(state, learning_rate=r))(jnp.ones(2))
    many = set_hyperparams(many, learning_rate=starting_now(decay, many))
    assert hyperparams(many)["learning_rate"].tolist() == [1.0, 1.0]


# Taken over from elsewhere.


@pytest.mark.parametrize("factory", [adam, adamw])
def test_moments_without_their_corrections_are_refused(factory):
    theirs = optax.adam(0.1)
    state = theirs.init(P)
    for _ in range(3):
        _, state = theirs.update(P, state, P)
    tx = factory(0.1)
    half = optax.tree.set(tx.init(P), count=state[0].count, mu=state[0].mu, nu=state[0].nu)
    with pytest.raises(ValueError, match=r"by half: 3 updates and moments.*b1_product is 1"):
        tx.update(P, half, P)
    whole = optax.tree.set(half, b1_product=jnp.float32(0.9**3), b2_product=jnp.float32(0.999**3))
    if factory is adam:
        expected, _ = theirs.update(P, state, P)
        np.testing.assert_allclose(tx.update(P, whole, P)[0], expected, rtol=1e-4)
    # New moments in the middle of a schedule are whole.
    _, after = tx.update(P, tx.init(P), P)
    tx.update(P, after._replace(inner_state=tx.init(P).inner_state), P)


@pytest.mark.parametrize(
    ("saved", "here", "words"),
    [
        (cosine_decay(0.1, 100), 0.3, "learning_rate.*cosine_decay.*a number"),
        (0.3, cosine_decay(0.1, 100), "learning_rate.*a number.*cosine_decay"),
        (cosine_decay(0.1, 100), linear(0.1, 0.0, 9), "learning_rate.*cosine_decay.*linear"),
        (natural_exp_decay(0.1, 0.5), time_decay(0.1, 0.5), "natural_exp_decay.*time_decay"),
        (one_cycle(0.1, 9), one_cycle(0.1, 9, anneal="linear"), "anneal='cosine'.*'linear'"),
    ],
)
def test_restoring_into_another_schedule_names_both(saved, here, words):
    serialization = pytest.importorskip("flax.serialization")
    data = serialization.to_bytes(adam(saved).init(P))
    with pytest.raises(ValueError, match=words):
        serialization.from_bytes(adam(here).init(P), data)
    serialization.from_bytes(adam(saved).init(P), data)
    with pytest.raises(ValueError, match=r"momentum.*were saved, but this adam has"):
        serialization.from_bytes(
            adam(0.1).init(P), serialization.to_bytes(sgd(0.1, momentum=0.9).init(P))
        )
