"""What sets one algorithm apart from its neighbours, beyond the stored trajectories."""

from __future__ import annotations

import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax
from lropt_jax import exponential_decay, linear, piecewise_constant, set_hyperparams
from tests.golden.optimizer_cases import gradient, noise, start

pytestmark = pytest.mark.usefixtures("x64")


def run(tx, gradients, params=None):
    """The parameters after each of the given gradients, and the last state."""
    params = jnp.zeros_like(gradients[0]) if params is None else params
    state, out = tx.init(params), []
    update = jax.jit(tx.update)
    for g in gradients:
        updates, state = update(g, state, params)
        params = params + updates
        out.append(np.asarray(params))
    return np.stack(out), state


def gradients(steps=20, seed=0):
    return list(np.random.default_rng(seed).normal(size=(steps, 4)) + 0.3)


# SWATS.


def swats_by_hand(rate, b1=0.9, b2=0.999, eps=1e-9, atol=1e-9, rtol=0.0, min_steps=1, scale=1.0):
    """Algorithm 1 with one flat vector and Python's `if`."""
    w = np.concatenate([np.ravel(p) for p in start()])
    shapes = [np.shape(p) for p in start()]
    m = a = v = np.zeros_like(w)
    average, big, switched_at, rate_then, out = 0.0, 0.0, 0, 0.0, []

    def split(flat):
        parts, at = [], 0
        for shape in shapes:
            size = int(np.prod(shape))
            parts.append(flat[at : at + size].reshape(shape))
            at += size
        return parts

    for k, noise_now in enumerate(noise(), start=1):
        g = scale * np.concatenate([np.ravel(x) for x in gradient(split(w), noise_now)])
        lr = rate(k - 1)
        if switched_at:
            v = b1 * v + g
            w = w - (1 - b1) * big * lr / rate_then * v
        else:
            m, a = b1 * m + (1 - b1) * g, b2 * a + (1 - b2) * g**2
            p = -lr * np.sqrt(1 - b2**k) / (1 - b1**k) * m / (np.sqrt(a) + eps)
            w = w + p
            if p @ g != 0:
                gamma = p @ p / -(p @ g)
                average = b2 * average + (1 - b2) * gamma
                found = average / (1 - b2**k)
                if (
                    k > max(1, min_steps)
                    and abs(found - gamma) < atol + rtol * abs(gamma)
                    and found > 0
                ):
                    big, switched_at, rate_then = found, k, lr
        out.append(w)
    return np.stack(out), switched_at, big


def swats_ours(tx, scale=1.0):
    params = [jnp.asarray(p) for p in start()]
    state, out = tx.init(params), []
    update = jax.jit(tx.update)
    for noise_now in noise():
        updates, state = update([scale * g for g in gradient(params, noise_now)], state, params)
        params = jax.tree.map(jnp.add, params, updates)
        out.append(np.concatenate([np.ravel(p) for p in params]))
    get = lambda name: optax.tree.get(state, name)  # noqa: E731
    return np.stack(out), int(get("switch_step")), float(get("sgd_learning_rate")), get("switched")


@pytest.mark.parametrize(
    "numbers",
    [
        {},
        {"switch_rtol": 0.1},
        {"switch_rtol": 0.3, "min_steps": 10, "b1": 0.8, "b2": 0.95, "eps": 1e-3},
        {"switch_atol": 0.02, "b2": 0.9},
    ],
    ids=str,
)
@pytest.mark.parametrize("scheduled", [False, True])
def test_swats_is_algorithm_1(numbers, scheduled):
    rate = exponential_decay(0.05, 0.95) if scheduled else 0.05
    by_hand = {k.removeprefix("switch_"): v for k, v in numbers.items()}
    hand, step, big = swats_by_hand(lambda t: 0.05 * (0.95**t if scheduled else 1.0), **by_hand)
    ours, our_step, our_big, switched = swats_ours(lropt_jax.swats(rate, **numbers))
    np.testing.assert_allclose(ours, hand, rtol=0, atol=1e-10)
    assert our_step == step
    np.testing.assert_allclose(our_big, big, rtol=1e-10)
    assert bool(switched) == (step > 0) == bool(numbers)
    assert step == 0 or step > numbers.get("min_steps", 1)


def test_swats_has_one_rate_for_all_leaves():
    """Two leaves or one with the same entries: the same switch, the same steps."""
    whole, _ = run(lropt_jax.swats(0.05, switch_rtol=0.3), gradients())
    tx = lropt_jax.swats(0.05, switch_rtol=0.3)
    params = [jnp.zeros(1), jnp.zeros(3)]
    state = tx.init(params)
    for g in gradients():
        updates, state = tx.update([g[:1], g[1:]], state, params)
        params = jax.tree.map(jnp.add, params, updates)
    assert bool(state.inner_state.switched)
    np.testing.assert_allclose(np.concatenate(params), whole[-1], rtol=1e-12)


def test_swats_accepts_no_negative_rate():
    """Gradients that turn around give γ < 0; a rate that is not positive is no rate."""
    turning = [np.full(4, 1.0)] * 5 + [np.full(4, -0.5)] * 3
    _, state = run(lropt_jax.swats(0.1, b2=0.01, switch_rtol=10.0, min_steps=5), turning)
    assert not bool(state.inner_state.switched)


# The Adam family.


def test_bias_correction_is_exact_when_b1_and_b2_vary():
    """Corrected averages of a constant are that constant, whatever the betas do."""
    for factory in (lropt_jax.adam, lropt_jax.qhadam, lropt_jax.amsgrad):
        tx = factory(
            1.0, b1=linear(0.95, 0.5, 10), b2=piecewise_constant([5], [0.9, 0.999]), eps=0.0
        )
        path, _ = run(tx, [np.full(4, 3.0)] * 15)
        if factory is lropt_jax.amsgrad:
            continue  # its maximum does not fall with b2
        np.testing.assert_allclose(np.diff(path[:, 0]), -1.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lropt_jax.adam(0.1), optax.adam(0.1)),
        (lropt_jax.adamw(0.1, weight_decay=0.1), optax.adamw(0.1, weight_decay=0.1)),
        (lropt_jax.adabelief(0.1, eps=1e-8), optax.adabelief(0.1, eps=1e-8, eps_root=1e-8)),
        (lropt_jax.lamb(0.1, weight_decay=0.1), optax.lamb(0.1, weight_decay=0.1)),
        (lropt_jax.adamax(0.1), optax.adamax(0.1)),
        (lropt_jax.adadelta(0.5), optax.adadelta(0.5, rho=0.9, eps=1e-6)),
        (lropt_jax.sgd(0.1, 0.9, nesterov=True), optax.sgd(0.1, 0.9, nesterov=True)),
    ],
    ids=["adam", "adamw", "adabelief", "lamb", "adamax", "adadelta", "nesterov"],
)
def test_equal_to_optax_where_it_is_exact(ours, theirs):
    begin = jnp.arange(1.0, 5.0)
    np.testing.assert_allclose(
        run(ours, gradients(), begin)[0], run(theirs, gradients(), begin)[0], atol=1e-12
    )


def test_amsgrad_of_the_paper():
    b1, b2, eps = 0.8, 0.9, 1e-3
    m = v = top = w = np.zeros(4)
    out = []
    for g in gradients():
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        top = np.maximum(top, v)
        w = w - 0.1 * m / (np.sqrt(top) + eps)
        out.append(w)
    tx = lropt_jax.amsgrad(0.1, b1, b2, eps, bias_correction=False)
    np.testing.assert_allclose(run(tx, gradients())[0], np.stack(out), atol=1e-13)


def test_nadam_without_momentum_decay_has_half_the_momentum():
    """ψ = 0 is μ = b1 / 2 throughout: Adam with Nesterov's look-ahead at that momentum."""
    b1, b2, eps = 0.8, 0.95, 1e-3
    mu = b1 / 2
    m = v = w = np.zeros(4)
    out = []
    for t, g in enumerate(gradients(), start=1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        top = (1 - mu) * g / (1 - mu**t) + mu * m / (1 - mu ** (t + 1))
        w = w - 0.1 * top / (np.sqrt(v / (1 - b2**t)) + eps)
        out.append(w)
    tx = lropt_jax.nadam(0.1, b1, b2, eps, momentum_decay=0.0)
    np.testing.assert_allclose(run(tx, gradients())[0], np.stack(out), atol=1e-13)


def test_quasi_hyperbolic_limits():
    same = [
        (lropt_jax.qhadam(0.1, 0.9, nu1=1.0, nu2=1.0), lropt_jax.adam(0.1)),
        (lropt_jax.qhm(0.1, nu=0.0), lropt_jax.sgd(0.1)),
        (lropt_jax.qhm(1.0, 0.9, nu=1.0), lropt_jax.sgd(0.1, 0.9)),
        (lropt_jax.qhm(1.0, 0.9, nu=0.9), lropt_jax.sgd(0.1, 0.9, nesterov=True)),
    ]
    for ours, theirs in same:
        np.testing.assert_allclose(
            run(ours, gradients())[0], run(theirs, gradients())[0], atol=1e-12
        )


# By the agreement of signs.


def test_local_gains_by_hand():
    steps = [1.0, 1.0, 1.0, -1.0, -1.0, 0.0, 1.0, -2.0, 3.0]
    gains = [1.0, 1.25, 1.5, 1.125, 1.375, 1.375, 1.375, 1.03125, 0.7734375]
    path, state = run(lropt_jax.local_gains(0.5, beta=0.25), [np.full(1, g) for g in steps])
    expected = -0.5 * np.cumsum(np.array(gains) * np.array(steps))
    np.testing.assert_allclose(path[:, 0], expected)
    assert optax.tree.get(state, "signs").dtype == jnp.int8


def test_local_gains_of_a_constant_gradient_and_bounds():
    def last_gain(steps, signs=1.0, **bounds):
        tx = lropt_jax.local_gains(1.0, **bounds)
        _, state = run(tx, [np.full(1, signs**t) for t in range(steps)])
        return float(optax.tree.get(state, "gains")[0])

    np.testing.assert_allclose(last_gain(21), 1 + 0.05 * 20)
    assert last_gain(50, max_gain=2.0) == 2.0
    np.testing.assert_allclose(last_gain(200, -1.0), 0.01)
    assert last_gain(200, -1.0, min_gain=0.1) == 0.1


def test_local_gains_with_momentum():
    path, _ = run(lropt_jax.local_gains(1.0, beta=0.5, momentum=0.5), [np.ones(1)] * 3)
    np.testing.assert_allclose(np.diff(path[:, 0], prepend=0.0), [-1.0, -2.0, -3.0])


def test_rprop_reads_its_rate_once():
    tx = lropt_jax.rprop(0.1)
    p = jnp.zeros(2)
    state = set_hyperparams(tx.init(p), learning_rate=0.2)
    updates, state = tx.update(jnp.ones(2), state, p)
    np.testing.assert_allclose(updates, -0.2)
    updates, _ = tx.update(jnp.ones(2), set_hyperparams(state, learning_rate=9.0), p)
    np.testing.assert_allclose(updates, -0.24)


def test_rprop_shows_a_nan_gradient_and_goes_on_after_it():
    tx = lropt_jax.rprop(0.1)
    p = jnp.zeros(2)
    state = tx.init(p)
    for g, expected in [([1, 1], [-0.1, -0.1]), ([np.nan, 1], [np.nan, -0.12])]:
        updates, state = tx.update(jnp.array(g, jnp.float32), state, p)
        np.testing.assert_allclose(updates, expected, rtol=1e-6)
    updates, _ = tx.update(jnp.ones(2), state, p)
    assert np.isfinite(updates).all()


@pytest.mark.parametrize("gradient", [np.nan, np.inf])
def test_a_gain_stays_where_signs_neither_agree_nor_differ(gradient):
    tx = lropt_jax.scale_by_local_gains()
    p = jnp.zeros(1)
    _, state = tx.update(jnp.array([gradient], jnp.float32), tx.init(p), p)
    np.testing.assert_array_equal(state.inner_state.gains, [1.0])


@pytest.mark.parametrize("name", ["rprop", "local_gains"])
def test_complex_numbers_are_two_weights(name):
    tx = getattr(lropt_jax, name)(0.1)
    g = [np.array([1 + 2j, -1 + 0.5j]), np.array([-1 + 1j, -3 - 1j])]
    path, _ = run(tx, g)
    real, _ = run(tx, [x.real for x in g])
    imaginary, _ = run(tx, [x.imag for x in g])
    np.testing.assert_allclose(path, real + 1j * imaginary)


# Layer by layer.


def test_lars_uses_the_papers_denominator():
    w, g = np.array([3.0, 4.0]), np.array([-1.0, 0.5])
    tx = lropt_jax.lars(2.0, momentum=0.0, trust_coefficient=0.1, weight_decay=0.5)
    updates, _ = tx.update(jnp.asarray(g), tx.init(jnp.asarray(w)), jnp.asarray(w))
    local = 0.1 * 5 / (np.sqrt(1.25) + 0.5 * 5)
    np.testing.assert_allclose(updates, -2.0 * local * (g + 0.5 * w))


@pytest.mark.parametrize("name", ["lars", "lamb"])
def test_masked_leaves_are_scaled_but_do_not_decay(name):
    params = {"w": jnp.array([3.0, 4.0]), "b": jnp.array([0.5, 1.0])}
    g = {"w": jnp.array([1.0, -1.0]), "b": jnp.array([0.3, 0.2])}
    factory = getattr(lropt_jax, name)

    def step(tx):
        return tx.update(g, tx.init(params), params)[0]

    without = step(factory(0.1))
    masked = step(factory(0.1, weight_decay=0.5, mask={"w": True, "b": False}))
    decayed = step(factory(0.1, weight_decay=0.5))
    np.testing.assert_allclose(masked["b"], without["b"])
    np.testing.assert_allclose(masked["w"], decayed["w"])
    assert not np.allclose(masked["w"], without["w"])


def test_rmsprop_centered_survives_what_overflows():
    """E[g²] - E[g]² would be infinity less infinity, and slightly negative for a constant."""
    tx = lropt_jax.rmsprop(0.1, centered=True)
    p = jnp.zeros(2, jnp.float32)
    state = tx.init(p)
    for size in (1e25, 1e25, 1.0, 1.0):
        updates, state = tx.update(jnp.full(2, size, jnp.float32), state, p)
        assert np.isfinite(updates).all()


def test_momentum_does_not_dampen_the_first_gradient():
    path, _ = run(lropt_jax.sgd(1.0, momentum=0.5, dampening=0.75), [np.ones(1)] * 3)
    np.testing.assert_allclose(np.diff(path[:, 0], prepend=0.0), [-1.0, -0.75, -0.625])


def test_a_trust_coefficient_of_zero_rests_and_a_layer_of_zeros_is_left():
    params = {"kernel": jnp.ones(3), "bias": jnp.zeros(2)}
    tx = lropt_jax.lars(0.1, trust_coefficient=0.0)
    updates, _ = tx.update(params | {"bias": jnp.ones(2)}, tx.init(params), params)
    np.testing.assert_array_equal(updates["kernel"], np.zeros(3))
    np.testing.assert_allclose(updates["bias"], -0.1 * np.ones(2))  # the ratio is 1


# The factor of a direction.

SWITCHES = {"nesterov", "centered", "bias_correction", "mask"}  # no numbers
DIRECTIONS = [name for name in dir(lropt_jax) if name.startswith("scale_by_")]
FACTORED = [
    n for n in DIRECTIONS if "factor" in inspect.signature(getattr(lropt_jax, n)).parameters
]


@pytest.mark.parametrize("name", FACTORED)
def test_a_factor_multiplies_the_direction_and_is_not_remembered(name):
    make = getattr(lropt_jax, name)
    momentum = {"momentum": 0.9} if name == "scale_by_rmsprop" else {}
    plain, scaled = make(**momentum), make(**momentum, factor=-0.25)
    states = [tx.init(jnp.zeros(4)) for tx in (plain, scaled)]
    for g in gradients(steps=5):
        first, states[0] = plain.update(g, states[0])
        second, states[1] = scaled.update(g, states[1])
        np.testing.assert_allclose(second, -0.25 * first, rtol=1e-13)
        chex.assert_trees_all_close(states[0], states[1], rtol=1e-13)


def test_the_factored_directions_are_those_that_divide():
    assert {n.removeprefix("scale_by_") for n in FACTORED} == {
        "adagrad", "rmsprop", "adam", "amsgrad", "adamax", "adabelief", "nadam", "qhadam",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["adam", "amsgrad", "adabelief", "nadam", "qhadam", "adagrad"])
def test_a_rate_of_zero_rests_and_has_a_gradient(name):
    def moved(rate):
        tx = getattr(lropt_jax, name)(rate)
        params = jnp.array([1.0, 0.0])
        state = tx.init(params)
        for g in ([0.5, 0.0], [0.25, 0.0]):
            updates, state = tx.update(jnp.array(g), state, params)
            params = params + updates
        return jnp.sum(params)

    value, slope = jax.value_and_grad(moved)(0.0)
    assert value == 1.0
    assert np.isfinite(slope)
    assert slope < -1.0


def needed(name):
    """The arguments without which a `scale_by_...` cannot be called."""
    return {
        key: 0.5
        for key, p in inspect.signature(getattr(lropt_jax, name)).parameters.items()
        if p.default is inspect.Parameter.empty
    }


@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_direction_checks_its_numbers(name):
    factory = getattr(lropt_jax, name)
    signature = inspect.signature(factory)
    numbers = [key for key in signature.parameters if key not in SWITCHES]
    for key in numbers:
        for wrong in (float("nan"), "a", lambda count: 0.5):
            with pytest.raises((ValueError, TypeError), match=f"^{key} must be"):
                factory(**needed(name) | {key: wrong})
    with pytest.raises(TypeError, match=r"no_such.*(did you mean|Known)"):
        factory(**needed(name), no_such=1.0)
    # What is traced is not looked at.
    first = numbers[0]
    jax.jit(lambda x: factory(**needed(name) | {first: x}).init(jnp.ones(2)))(0.5)


def test_a_direction_checks_its_numbers_together():
    with pytest.raises(ValueError, match=r"min_step must be at most max_step = 1\.0, got 2\.0"):
        lropt_jax.scale_by_rprop(0.1, min_step=2.0, max_step=1.0)
    with pytest.raises(ValueError, match=r"b1 must be in \[0, 1\), got 1\.0"):
        lropt_jax.scale_by_adam(b1=1.0)
