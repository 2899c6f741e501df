"""The values of schedules: against PyTorch (stored), Optax (live), and plain recursions."""

from __future__ import annotations

import json
import pathlib
import runpy

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax as lj
from lropt_jax.schedules import as_schedule

GOLDEN = pathlib.Path(__file__).parent / "golden"
STORED = json.loads((GOLDEN / "schedules.json").read_text())
SETTINGS = runpy.run_path(str(GOLDEN / "schedule_cases.py"))
CASES = SETTINGS["CASES"]


@pytest.mark.parametrize("i", range(len(CASES)), ids=lambda i: f"{CASES[i].reference}-{i}")
def test_pytorch(i, x64):
    case, theirs = CASES[i], STORED["schedules"][i]
    ours = lj.SCHEDULES[case.name](**case.arguments)
    np.testing.assert_allclose(ours(jnp.arange(len(theirs))), theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("i", range(len(SETTINGS["PLATEAUS"])))
def test_reduce_on_plateau_of_pytorch(i, x64):
    s = lj.reduce_on_plateau(0.3, **SETTINGS["PLATEAUS"][i])

    def step(s, value):
        s = s.observe(value)
        return s, s(0)

    _, ours = jax.lax.scan(step, s, jnp.array(SETTINGS["OBSERVED"]))
    np.testing.assert_allclose(ours, STORED["plateaus"][i], rtol=1e-12)


STAIRS = {"transition_steps": 7, "decay_rate": 0.6, "transition_begin": 5, "staircase": True}
OPTAX = [
    (lj.linear(0.1, 0.01, 20, 7), optax.linear_schedule(0.1, 0.01, 20, 7)),
    (lj.polynomial(0.1, 0.01, 2.5, 20, 7), optax.polynomial_schedule(0.1, 0.01, 2.5, 20, 7)),
    (lj.exponential_decay(0.1, **STAIRS), optax.exponential_decay(0.1, **STAIRS)),
    (
        lj.exponential_decay(0.1, 0.6, 7, end_value=0.02),
        optax.exponential_decay(0.1, 7, 0.6, end_value=0.02),
    ),
    (
        lj.exponential_decay(0.1, 1.6, 7, end_value=0.3),
        optax.exponential_decay(0.1, 7, 1.6, end_value=0.3),
    ),
    (lj.cosine_decay(0.1, 40, 0.2, 1.7), optax.cosine_decay_schedule(0.1, 40, 0.2, 1.7)),
    (
        lj.warmup(lj.cosine_decay(0.1, 40, 0.2), 10, 0.02),
        optax.warmup_cosine_decay_schedule(0.02, 0.1, 10, 50, 0.02),
    ),
    (
        lj.sequence([lj.linear(0, 0.1, 9), lj.exponential_decay(0.1, 0.9, 3)], [12]),
        optax.join_schedules(
            [optax.linear_schedule(0, 0.1, 9), optax.exponential_decay(0.1, 3, 0.9)], [12]
        ),
    ),
    (
        lj.piecewise_constant([10, 30], [0.1, 0.05, 0.005]),
        optax.piecewise_constant_schedule(0.1, {10: 0.5, 30: 0.1}),
    ),
]


@pytest.mark.parametrize(("ours", "theirs"), OPTAX, ids=lambda s: getattr(s, "name", ""))
def test_optax(ours, theirs, x64):
    counts = jnp.arange(70)
    # Optax's own arithmetic, without what it rounds to float32.
    expected = jax.vmap(lambda t: theirs(t.astype(jnp.float64)))(counts)
    np.testing.assert_allclose(ours(counts), expected, rtol=1e-12, atol=1e-12)


@jax.jit
def _curve(schedule):
    return schedule(jnp.arange(70))


rates, lengths = st.floats(1e-4, 10.0), st.integers(1, 80)


@hypothesis.settings(deadline=None, derandomize=True, max_examples=25)
@hypothesis.given(rates, st.floats(0, 10), st.floats(0, 3), st.floats(0.05, 2), lengths, lengths)
def test_optax_over_many_settings(first, last, power, rate, steps, begin):
    alpha = last / 10
    pairs = [
        (
            lj.polynomial(first, last, power, steps, begin),
            optax.polynomial_schedule(first, last, power, steps, begin),
        ),
        (
            lj.exponential_decay(first, rate, steps, begin),
            optax.exponential_decay(first, steps, rate, begin),
        ),
        (
            lj.cosine_decay(first, steps, alpha, power + 0.1),
            optax.cosine_decay_schedule(first, steps, alpha, power + 0.1),
        ),
        (
            lj.warmup(lj.cosine_decay(last + 0.1, steps, alpha), begin, first),
            optax.warmup_cosine_decay_schedule(
                first, last + 0.1, begin, begin + steps, (last + 0.1) * alpha
            ),
        ),
    ]
    with jax.enable_x64(True):
        for ours, theirs in pairs:
            expected = theirs(jnp.arange(70.0))
            np.testing.assert_allclose(_curve(ours), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rate", [0.0, 1e-9, 1e-4, 0.01, 0.3, 5.0])
def test_time_decay_is_the_recursion(rate, x64):
    counts = np.array([0, 1, 5, 31, 32, 33, 100, 3000])
    factors = np.cumsum(np.log1p(rate * np.arange(1, 3001)).astype(np.longdouble))
    expected = 2.0 * np.exp(-np.concatenate([[0], factors])[counts])
    np.testing.assert_allclose(lj.time_decay(2.0, rate)(counts), expected, rtol=2e-12, atol=1e-300)


@pytest.mark.parametrize("rate", [1e-6, 1e-3, 0.02])
def test_time_decay_in_float32(rate):
    counts = np.array([1, 33, 100, 1000])
    factors = np.cumsum(np.log1p(rate * np.arange(1, 1001)))
    expected = np.exp(-factors[counts - 1])
    keep = expected > 1e-30
    ours = lj.time_decay(1.0, rate)(counts)
    np.testing.assert_allclose(ours[keep], expected[keep], rtol=2e-5)


@pytest.mark.parametrize("mult", [1, 2, 3, 4, 7, 10])
@pytest.mark.parametrize("first", [1, 3, 41, 100])
def test_warm_restarts_are_exact_in_float32_for_whole_multipliers(mult, first):
    starts, length = [0], first
    while starts[-1] + length < 2**22 and len(starts) < 60:
        starts.append(starts[-1] + length)
        length *= mult
    starts = np.array(starts)
    compiled = jax.jit(lj.warm_restarts(1.0, first, mult, cycle_decay=0.97))
    # 0.97 ** cycle tells which cycle it is; a restart that comes a step late shows at once.
    np.testing.assert_allclose(compiled(starts), 0.97 ** np.arange(len(starts)), rtol=1e-5)
    before = np.maximum(starts[1:] - 1, 0)
    lengths = np.diff(starts)
    falling = 0.5 * (1 + np.cos(np.pi * (lengths - 1) / lengths))
    amplitude = 0.97 ** np.arange(len(starts) - 1)
    np.testing.assert_allclose(compiled(before), amplitude * falling, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("mult", [1.0, 1.0001, 1.1, 1.5, 2.5])
def test_warm_restarts_with_real_boundaries(mult, x64):
    starts, length = [0.0], 7.5
    while starts[-1] + length < 5000:
        starts.append(starts[-1] + length)
        length *= mult
    counts = np.arange(5000)
    cycle = np.searchsorted(starts, counts, side="right") - 1
    part = (counts - np.array(starts)[cycle]) / (7.5 * mult**cycle)
    expected = 0.1 + 0.9 * 0.9**cycle * 0.5 * (1 + np.cos(np.pi * part))
    ours = lj.warm_restarts(1.0, 7.5, mult, 0.9, end_value=0.1)(counts)
    np.testing.assert_allclose(ours, expected, atol=1e-8)


def test_whole_divisions_are_exact_when_compiled_with_constants():
    for every in (7, 41, 47, 55, 61, 111):
        at = every * jnp.arange(1, 20)
        step = jax.jit(lj.step_decay(1.0, 0.9, every))
        np.testing.assert_allclose(step(at), 0.9 ** np.arange(1, 20), rtol=1e-5)
        np.testing.assert_allclose(step(at - 1), 0.9 ** np.arange(19), rtol=1e-5)
        epochs = jax.jit(lj.per_epoch(lambda epoch: epoch, every))
        np.testing.assert_array_equal(epochs(at), np.arange(1, 20))
        cycle = jax.jit(lj.cyclic(0.0, 1.0, every / 2, mode="triangular2"))
        np.testing.assert_allclose(cycle(at), 0, atol=1e-6)


def test_natural_exp_inverse_sqrt_and_stable(x64):
    t = np.arange(1, 60)
    np.testing.assert_allclose(lj.natural_exp_decay(0.1, 0.05)(t), 0.1 * np.exp(-0.05 * t))
    noam = 512**-0.5 * np.minimum(t**-0.5, t * 20**-1.5)  # Vaswani et al. 2017
    np.testing.assert_allclose(lj.inverse_sqrt((512 * 20) ** -0.5, 20)(t), noam)
    stable = lj.warmup_stable_decay(0.1, 10, 20, 16, end_value=0.02, anneal="sqrt")
    np.testing.assert_allclose(
        stable([0, 5, 10, 29, 30, 34, 46, 99]), [0, 0.05, 0.1, 0.1, 0.1, 0.06, 0.02, 0.02]
    )
    cosine = lj.warmup_stable_decay(0.1, 10, 20, 16, anneal="cosine")
    np.testing.assert_allclose(cosine(t[30:]), lj.cosine_decay(0.1, 16)(t[30:] - 30), atol=1e-15)


def test_zero_lengths_and_tiny_totals():
    np.testing.assert_allclose(lj.warmup(0.5, 0)([0, 1]), 0.5)
    np.testing.assert_allclose(lj.inverse_sqrt(1.0, 0)([0, 1, 4]), [1, 1, 0.5])
    np.testing.assert_allclose(
        lj.warmup_stable_decay(1.0, 0, 2, 2)([0, 1, 2, 3, 4]), [1, 1, 1, 0.5, 0]
    )
    np.testing.assert_allclose(lj.warmup_stable_decay(1.0, 0, 2, 0)([1, 2]), [1, 0])
    for total in (1, 2, 3, 10 / 3):
        for three_phase in (False, True):
            values = lj.one_cycle(1.0, total, three_phase=three_phase)(jnp.arange(6))
            assert jnp.all((values >= 0) & (values <= 1))
            np.testing.assert_allclose(values[-1], 1 / 25e4, rtol=1e-5)
    momentum = lj.one_cycle_momentum(total_steps=1)(jnp.arange(3))
    np.testing.assert_allclose(momentum, 0.95)
    s = lj.sequence([0.1, 0.2, 0.3], [5, 5])
    np.testing.assert_allclose(s([4, 5, 6]), [0.1, 0.3, 0.3], rtol=1e-6)
    np.testing.assert_allclose(lj.sequence([0.1], [])(3), 0.1, rtol=1e-6)
    assert float(lj.piecewise_constant([], [0.5])(3)) == 0.5
    traced = jax.jit(lambda n: (lj.linear(1.0, 0.0, n)(0), lj.cosine_decay(1.0, n)(3)))
    np.testing.assert_allclose(traced(0), [0, 0])


def test_boundaries_may_be_one_array_or_traced():
    expected = [0.1, 0.3, 0.3, 0.2]
    counts = jnp.array([1, 2, 4, 5])
    values = jnp.array([0.1, 0.3, 0.2])
    np.testing.assert_allclose(lj.piecewise_constant(jnp.array([2, 5]), values)(counts), expected)

    def traced(a, b):
        return lj.sequence([0.1, 0.3, lj.linear(0.2, 0.0, 1000)], [a, b])(counts)

    np.testing.assert_allclose(jax.jit(traced)(2, 5), expected, rtol=1e-6)
    np.testing.assert_allclose(
        jax.vmap(traced)(jnp.array([2, 2]), jnp.array([5, 5]))[1], expected, rtol=1e-6
    )


def test_gradients_do_not_see_what_a_joined_schedule_does_elsewhere():
    def wild(count):
        return jnp.sqrt(5 - count) + jnp.log(count + 1)  # NaN after 5

    def value(scale, t):
        joined = lj.sequence(
            [wild, scale * lj.linear(1.0, 0.0, 4), scale * as_schedule(wild)], [5, 9]
        )
        return lj.warmup(joined, 3)(t)

    gradients = jax.vmap(jax.grad(value), (None, 0))(2.0, jnp.arange(17.0))
    assert jnp.all(jnp.isfinite(gradients))
