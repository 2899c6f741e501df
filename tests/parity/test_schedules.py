"""Schedules against the live packages they claim to equal, over many settings, in float64."""

from __future__ import annotations

import functools
import os
import warnings

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lropt_jax as lj

torch = pytest.importorskip("torch")
schedulers = torch.optim.lr_scheduler

N = 60  # steps that are compared; one shape, so that each formula compiles once
many = functools.partial(hypothesis.settings, deadline=None, derandomize=True)

rates = st.floats(1e-4, 10.0)
factors = st.floats(0.05, 1.0)
lengths = st.integers(1, 70)
fractions = st.floats(0.0, 1.0)


@jax.jit
def _curve(schedule):
    return schedule(jnp.arange(N))


def curve(schedule):
    with jax.enable_x64(True):
        return np.asarray(_curve(schedule))


def from_torch(make, init_value, key="lr", steps=N):
    """What a PyTorch scheduler sets, before each of its steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=init_value, momentum=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = make(optimizer)
        values = []
        for _ in range(steps):
            values.append(optimizer.param_groups[0][key])
            optimizer.step()
            scheduler.step()
    return np.array(values)


def assert_same(ours, theirs):
    np.testing.assert_allclose(ours[: len(theirs)], theirs, rtol=1e-12, atol=1e-12)


@many(max_examples=30)
@hypothesis.given(rates, factors, lengths)
def test_step_decay(init_value, drop, every):
    theirs = from_torch(lambda o: schedulers.StepLR(o, every, gamma=drop), init_value)
    assert_same(curve(lj.step_decay(init_value, drop, every)), theirs)


@many(max_examples=30)
@hypothesis.given(rates, factors, st.lists(lengths, min_size=4, max_size=4).map(sorted))
def test_piecewise_constant_with_duplicate_milestones(init_value, gamma, milestones):
    theirs = from_torch(lambda o: schedulers.MultiStepLR(o, milestones, gamma), init_value)
    values = [init_value * gamma**i for i in range(len(milestones) + 1)]
    assert_same(curve(lj.piecewise_constant(milestones, values)), theirs)


@many(max_examples=20)
@hypothesis.given(rates, factors)
def test_exponential_decay(init_value, gamma):
    theirs = from_torch(lambda o: schedulers.ExponentialLR(o, gamma), init_value)
    assert_same(curve(lj.exponential_decay(init_value, gamma)), theirs)


@many(max_examples=30)
@hypothesis.given(rates, factors, fractions, lengths)
def test_linear(init_value, start, end, steps):
    theirs = from_torch(lambda o: schedulers.LinearLR(o, start, end, steps), init_value)
    assert_same(curve(lj.linear(init_value * start, init_value * end, steps)), theirs)


@many(max_examples=30)
@hypothesis.given(rates, st.floats(0.0, 4.0), lengths)
def test_polynomial(init_value, power, steps):
    theirs = from_torch(lambda o: schedulers.PolynomialLR(o, steps, power), init_value)
    assert_same(curve(lj.polynomial(init_value, 0.0, power, steps)), theirs)


@many(max_examples=30)
@hypothesis.given(rates, fractions, lengths)
def test_cosine_decay_up_to_t_max(init_value, alpha, steps):
    minimum = alpha * init_value
    theirs = from_torch(
        lambda o: schedulers.CosineAnnealingLR(o, steps, eta_min=minimum), init_value
    )
    assert_same(curve(lj.cosine_decay(init_value, steps, alpha)), theirs[: steps + 1])


@many(max_examples=30)
@hypothesis.given(rates, st.integers(1, 20), st.sampled_from([1, 2, 3, 4, 10]), fractions)
def test_warm_restarts(init_value, first, mult, alpha):
    minimum = alpha * init_value
    theirs = from_torch(
        lambda o: schedulers.CosineAnnealingWarmRestarts(o, first, mult, eta_min=minimum),
        init_value,
    )
    ours = lj.warm_restarts(init_value, first, mult, end_value=minimum)
    assert_same(curve(ours), theirs)


@many(max_examples=60)
@hypothesis.given(
    rates,
    st.integers(4, N),
    st.floats(0.05, 0.95),
    st.floats(1.0, 100.0),
    st.floats(1.0, 1e5),
    st.sampled_from(["cosine", "linear"]),
    st.booleans(),
)
def test_one_cycle_and_its_momentum(peak, total, fraction, div, final_div, anneal, three_phase):
    ends = [fraction * total - 1, total - 1]
    if three_phase:
        ends.insert(1, 2 * fraction * total - 2)
    # PyTorch divides by the length of a phase, and sets the first value at construction.
    hypothesis.assume(all(abs(b - a) > 1e-3 for a, b in zip([0, *ends], ends, strict=False)))

    def make(optimizer):
        return schedulers.OneCycleLR(
            optimizer,
            max_lr=peak,
            total_steps=total,
            pct_start=fraction,
            anneal_strategy={"cosine": "cos"}.get(anneal, anneal),
            div_factor=div,
            final_div_factor=final_div,
            three_phase=three_phase,
        )

    shape = {"warmup_fraction": fraction, "anneal": anneal, "three_phase": three_phase}
    ours = lj.one_cycle(peak, total, div_factor=div, final_div_factor=final_div, **shape)
    assert_same(curve(ours), from_torch(make, 0.1, steps=total - 1))
    momentum = lj.one_cycle_momentum(total_steps=total, **shape)
    assert_same(curve(momentum), from_torch(make, 0.1, key="momentum", steps=total - 1))


@many(max_examples=40)
@hypothesis.given(
    rates,
    rates,
    st.integers(1, 30),
    st.integers(1, 30) | st.none(),
    st.sampled_from(["triangular", "triangular2", "exp_range"]),
    st.floats(0.9, 1.0),
)
def test_cyclic_and_its_momentum(low, high, up, down, mode, gamma):
    low, high = sorted((low, high))

    def make(optimizer):
        return schedulers.CyclicLR(
            optimizer,
            low,
            high,
            step_size_up=up,
            step_size_down=down,
            mode=mode,
            gamma=gamma,
            base_momentum=0.8,
            max_momentum=0.9,
        )

    shape = {"steps_up": up, "steps_down": down, "mode": mode, "gamma": gamma}
    assert_same(curve(lj.cyclic(low, high, **shape)), from_torch(make, low))
    assert_same(curve(lj.cyclic(0.9, 0.8, **shape)), from_torch(make, low, key="momentum"))


def test_a_plain_callable_is_lambda_lr():
    theirs = from_torch(lambda o: schedulers.LambdaLR(o, lambda t: 1 / (1 + t)), 0.5)
    assert_same(curve(0.5 * (lj.constant(1.0) * (lambda t: 1 / (1 + t)))), theirs)


@many(max_examples=30)
@hypothesis.given(rates, factors, factors, st.integers(1, 20), st.integers(1, 20))
def test_sequence_is_sequential_lr(init_value, start, gamma, first, second):
    def make(optimizer):
        parts = [
            schedulers.LinearLR(optimizer, start, 1.0, first),
            schedulers.ConstantLR(optimizer, 1.0, 1),
            schedulers.ExponentialLR(optimizer, gamma),
        ]
        return schedulers.SequentialLR(optimizer, parts, [first, first + second])

    parts = [
        lj.linear(init_value * start, init_value, first),
        init_value,
        lj.exponential_decay(init_value, gamma),
    ]
    ours = curve(lj.sequence(parts, [first, first + second]))
    assert_same(ours, from_torch(make, init_value))
    warm = lj.warmup(lj.exponential_decay(init_value, gamma), first, init_value * start)

    def make_warm(optimizer):
        parts = [
            schedulers.LinearLR(optimizer, start, 1.0, first),
            schedulers.ExponentialLR(optimizer, gamma),
        ]
        return schedulers.SequentialLR(optimizer, parts, [first])

    assert_same(curve(warm), from_torch(make_warm, init_value))


@many(max_examples=20)
@hypothesis.given(rates, factors, factors, lengths)
def test_product_is_chained_scheduler(init_value, gamma, drop, every):
    def make(optimizer):
        parts = [
            schedulers.ExponentialLR(optimizer, gamma),
            schedulers.StepLR(optimizer, every, drop),
        ]
        return schedulers.ChainedScheduler(parts, optimizer)

    ours = lj.exponential_decay(init_value, gamma) * lj.step_decay(1.0, drop, every)
    assert_same(curve(ours), from_torch(make, init_value))


@jax.jit
def _observed(schedule, values):
    def step(schedule, value):
        schedule = schedule.observe(value)
        return schedule, schedule(0)

    return jax.lax.scan(step, schedule, values)[1]


@many(max_examples=80)
@hypothesis.given(
    st.fixed_dictionaries(
        {
            "factor": st.floats(0.0, 0.99),
            "patience": st.integers(0, 4),
            "threshold": st.floats(0.0, 0.5),
            "threshold_mode": st.sampled_from(["rel", "abs"]),
            "mode": st.sampled_from(["min", "max"]),
            "cooldown": st.integers(0, 4),
            "eps": st.floats(0.0, 0.1),
        }
    ),
    rates,
    st.floats(0.0, 0.5),
    st.lists(
        st.floats(0.0, 10.0, allow_subnormal=False) | st.just(float("nan")), min_size=N, max_size=N
    ),
)
def test_reduce_on_plateau(arguments, init_value, minimum, values):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=init_value)
    scheduler = schedulers.ReduceLROnPlateau(optimizer, min_lr=minimum, **arguments)
    theirs = []
    for value in values:
        scheduler.step(value)
        theirs.append(optimizer.param_groups[0]["lr"])
    with jax.enable_x64(True):
        ours = _observed(
            lj.reduce_on_plateau(init_value, min_value=minimum, **arguments), jnp.array(values)
        )
    assert_same(np.asarray(ours), np.array(theirs))


@pytest.mark.parametrize(
    ("steps", "mult", "decay", "alpha"),
    [(10, 1.0, 0.7, 0.0), (7, 1.5, 0.9, 0.1), (5, 2.0, 1.0, 0.3), (3, 3.0, 0.5, 0.0)],
)
def test_keras(steps, mult, decay, alpha):
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras").optimizers.schedules
    init_value = np.float64(0.3)  # Keras computes in this type
    pairs = [
        (
            lj.inverse_time_decay(init_value, decay, steps, staircase),
            keras.InverseTimeDecay(init_value, steps, decay, staircase),
            1e-12,
        )
        for staircase in (False, True)
    ]
    pairs.append(
        (
            lj.warm_restarts(init_value, steps, mult, decay, alpha * init_value),
            keras.CosineDecayRestarts(init_value, steps, mult, decay, alpha),
            1e-6,  # Keras takes this cosine in float32
        )
    )
    for ours, reference, tolerance in pairs:
        with jax.enable_x64(True):
            theirs = [float(reference(np.float64(t))) for t in range(0, N, 7)]
        np.testing.assert_allclose(curve(ours)[::7], theirs, rtol=tolerance, atol=tolerance)
