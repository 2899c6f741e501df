"""What is true of every schedule: each is walked through the same checks."""

from __future__ import annotations

import copy
import functools
import itertools
import pickle
import subprocess
import sys

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax as lj
from lropt_jax.schedules import feedback_schedule, schedule

EXAMPLES = {
    "constant": {"value": 0.1},
    "linear": {"init_value": 0.1, "end_value": 0.01, "transition_steps": 8, "transition_begin": 2},
    "polynomial": {"init_value": 0.1, "end_value": 0.01, "power": 0.5, "transition_steps": 8},
    "exponential_decay": {
        "init_value": 0.1,
        "decay_rate": 0.5,
        "transition_steps": 4,
        "staircase": True,
        "end_value": 0.01,
    },
    "natural_exp_decay": {"init_value": 0.1, "decay_rate": 0.3},
    "inverse_time_decay": {"init_value": 0.1, "decay_rate": 0.5, "transition_steps": 3},
    "time_decay": {"init_value": 0.1, "decay_rate": 0.1},
    "step_decay": {"init_value": 0.1, "drop": 0.3, "every": 4},
    "piecewise_constant": {"boundaries": [3, 8], "values": [0.1, 0.2, 0.05]},
    "cosine_decay": {"init_value": 0.1, "decay_steps": 8, "alpha": 0.1, "exponent": 0.5},
    "warm_restarts": {
        "init_value": 0.1,
        "first_cycle_steps": 3,
        "cycle_mult": 2.0,
        "cycle_decay": 0.7,
        "end_value": 0.01,
    },
    "cyclic": {
        "base_value": 0.01,
        "peak_value": 0.1,
        "steps_up": 3,
        "steps_down": 4,
        "mode": "exp_range",
        "gamma": 0.9,
    },
    "one_cycle": {"peak_value": 0.1, "total_steps": 12, "three_phase": True},
    "one_cycle_momentum": {"total_steps": 12},
    "inverse_sqrt": {"peak_value": 0.1, "warmup_steps": 4},
    "warmup_stable_decay": {
        "peak_value": 0.1,
        "warmup_steps": 3,
        "stable_steps": 4,
        "decay_steps": 5,
        "anneal": "sqrt",
    },
    "warmup": {"schedule": lj.exponential_decay(0.1, 0.5, 4), "steps": 3, "init_value": 0.01},
    "sequence": {
        "schedules": [lj.linear(0.0, 0.1, 4), 0.1, lj.polynomial(0.1, 0.0, 0.5, 4)],
        "boundaries": [4, 8],
    },
    "per_epoch": {"schedule": lj.step_decay(0.1, every=2), "steps_per_epoch": 3},
    "reduce_on_plateau": {"init_value": 0.1, "factor": 0.5, "patience": 1},
}
COUNTS = jnp.arange(20)


def make(name):
    return lj.SCHEDULES[name](**EXAMPLES[name])


@jax.jit
def curve(s):
    return s(COUNTS)


every_schedule = pytest.mark.parametrize("name", EXAMPLES)


def test_the_catalogue_is_complete():
    assert set(lj.SCHEDULES) == set(EXAMPLES)
    for name, constructor in lj.SCHEDULES.items():
        assert getattr(lj, name) is constructor
        assert constructor.__name__ == name
        assert "Example:" in constructor.__doc__
        assert isinstance(make(name), lj.Schedule)


@every_schedule
def test_values_are_finite_scalars_of_the_float_type_and_stay_so_past_the_end(name):
    s = make(name)
    for count in (0, jnp.int32(3), np.int64(7), 2.0, 10**9):
        value = s(count)
        assert value.shape == ()
        assert value.dtype == jnp.float32
        assert np.isfinite(value)
        assert value >= 0
    with jax.enable_x64(True):
        assert s(3).dtype == jnp.float64


@every_schedule
def test_jit_loop_and_array_of_counts_agree(name):
    s = make(name)
    one_by_one = [float(s(t)) for t in range(0, 20, 4)]
    np.testing.assert_allclose(curve(s)[::4], one_by_one, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(s(COUNTS.reshape(4, 5)).reshape(-1), curve(s), rtol=1e-5, atol=1e-8)


@every_schedule
def test_every_number_may_be_traced_and_a_change_compiles_nothing(name):
    leaves, tree = jax.tree.flatten(make(name))
    traces = []

    @jax.jit
    def value(leaves):
        traces.append(1)
        return jax.tree.unflatten(tree, leaves)(COUNTS)

    value(leaves)
    value([x + 1 if isinstance(x, int) else x * 1.1 for x in leaves])
    assert len(traces) == 1
    # Constructed from tracers, in the constructor itself, for numbers that are plain arguments.
    numbers = {k: v for k, v in EXAMPLES[name].items() if type(v) in (int, float)}
    rest = {k: v for k, v in EXAMPLES[name].items() if k not in numbers}
    construct = jax.jit(lambda numbers: lj.SCHEDULES[name](**numbers, **rest))
    np.testing.assert_allclose(curve(construct(numbers)), curve(make(name)), rtol=1e-6)


@every_schedule
def test_vmap_over_all_numbers(name):
    s = make(name)
    both = jax.tree.map(lambda x: jnp.array([x, 1.1 * x], jnp.float32), s)
    curves = jax.jit(jax.vmap(lambda s: s(COUNTS)))(both)
    np.testing.assert_allclose(curves[0], curve(s), rtol=1e-5, atol=1e-8)
    other = jax.tree.map(lambda x: x[1], both)
    np.testing.assert_allclose(curves[1], curve(other), rtol=1e-5, atol=1e-8)


@every_schedule
def test_gradients_are_finite_everywhere_joints_and_ends_included(name):
    s = jax.tree.map(jnp.float32, make(name))
    jacobian = jax.jit(jax.jacrev(lambda s: s(jnp.arange(40))))(s)
    state = set(s.state)
    for path, leaf in jax.tree_util.tree_leaves_with_path(jacobian):
        if path[0].name not in state - {"value"}:
            assert jnp.all(jnp.isfinite(leaf)), path
    in_count = jax.vmap(jax.grad(s))(jnp.arange(40.0))
    assert jnp.all(jnp.isfinite(in_count))


@every_schedule
def test_gradients_are_those_of_finite_differences(name, x64):
    s = jax.tree.map(jnp.float64, make(name))
    leaves, tree = jax.tree.flatten(s)
    names = [path[0].name for path, _ in jax.tree_util.tree_leaves_with_path(s)]
    counts = jnp.array([4.5, 5.5, 10.5])  # away from the joints, where a step may jump

    def values(leaves):
        return jax.tree.unflatten(tree, leaves)(counts)

    gradients = jax.jit(jax.jacfwd(values))(leaves)
    values = jax.jit(values)
    for i, gradient in enumerate(gradients):
        # What was seen is no number: before the first cut it stands at a joint.
        if not jnp.isfinite(leaves[i]) or names[i] in s.state:
            continue
        step = 1e-6 * max(1.0, abs(float(leaves[i])))
        up = values([*leaves[:i], leaves[i] + step, *leaves[i + 1 :]])
        down = values([*leaves[:i], leaves[i] - step, *leaves[i + 1 :]])
        np.testing.assert_allclose(gradient, (up - down) / (2 * step), rtol=1e-4, atol=1e-7)


@every_schedule
def test_copies_are_equal(name):
    s = make(name)
    for copied in (
        copy.deepcopy(s),
        pickle.loads(pickle.dumps(s)),
        cloudpickle.loads(cloudpickle.dumps(s)),
        jax.tree.map(lambda x: x, s),
    ):
        assert jax.tree.structure(copied) == jax.tree.structure(s)
        assert jax.tree.leaves(copied) == jax.tree.leaves(s)
        assert repr(copied) == repr(s)


@every_schedule
def test_repr_says_what_it_is_and_with_which_numbers(name):
    text = repr(make(name))
    assert text.startswith(f"{name}(")
    for argument, value in EXAMPLES[name].items():
        assert f"{argument}=" in text
        if type(value) in (int, float):
            assert f"{argument}={value!r}".removesuffix(".0") in text


@every_schedule
def test_numbers_of_any_dtype(name):
    dtypes = itertools.cycle([jnp.bfloat16, np.float64, jnp.float16, np.int32])
    typed = jax.tree.map(
        lambda x: np.ceil(x).astype(next(dtypes)) if np.isfinite(x) else x, make(name)
    )
    assert curve(typed).dtype == jnp.float32
    as_float = jax.tree.map(jnp.float32, typed)
    np.testing.assert_array_equal(curve(typed), curve(as_float))


@every_schedule
def test_bad_numbers_raise_and_name_the_argument(name):
    for argument, value in EXAMPLES[name].items():
        if type(value) in (int, float):
            for bad in (float("nan"), float("inf"), jnp.array(jnp.nan)):
                with pytest.raises(ValueError, match=rf"{name}: {argument} .*(nan|inf)"):
                    lj.SCHEDULES[name](**{**EXAMPLES[name], argument: bad})
            for bad in ("0.1", True, None, lj.constant(0.1)):
                if argument == "end_value" and bad is None and name == "exponential_decay":
                    continue
                if argument == "steps_down" and bad is None:
                    continue
                with pytest.raises(TypeError, match=f"{name}: {argument} must be"):
                    lj.SCHEDULES[name](**{**EXAMPLES[name], argument: bad})
        if isinstance(value, str):
            with pytest.raises(ValueError, match=rf"{argument} must be one of .*'no such'"):
                lj.SCHEDULES[name](**{**EXAMPLES[name], argument: "no such"})
        if isinstance(value, bool):
            with pytest.raises(ValueError, match=f"{argument} must be True or False, got 1"):
                lj.SCHEDULES[name](**{**EXAMPLES[name], argument: 1})


@pytest.mark.parametrize(
    ("constructor", "arguments", "message"),
    [
        (lj.linear, (0.1, 0.0, 0), "transition_steps must be a finite number > 0, got 0"),
        (lj.exponential_decay, (0.1, -0.5), "decay_rate must be a finite number > 0, got -0.5"),
        (lj.warm_restarts, (0.1, 10, 0.5), "cycle_mult must be a finite number >= 1, got 0.5"),
        (lj.one_cycle, (0.1, 10, 1.5), r"warmup_fraction must be in \[0, 1\], got 1.5"),
        (lj.reduce_on_plateau, (0.1, 1.0), r"factor must be in \[0, 1\), got 1.0"),
        (lj.reduce_on_plateau, (0.1, 0.5, -1), "patience must be a finite number >= 0, got -1"),
        (lj.piecewise_constant, ([1, 2], [1, 2]), "boundaries must be one fewer than values"),
        (lj.piecewise_constant, ([2, 1], [1, 2, 3]), "boundaries must be ascending, got 1.0"),
        (lj.piecewise_constant, ([1], [1, float("nan")]), r"values\[1\] must be a finite number"),
        (lj.sequence, ([0.1, 0.2], []), "boundaries must be one fewer than schedules"),
        (lj.sequence, ([1, 2, 3], jnp.array([5, 4])), "boundaries must be ascending"),
    ],
)
def test_conditions(constructor, arguments, message):
    with pytest.raises(ValueError, match=message):
        constructor(*arguments)


def test_wrong_calls_name_the_schedule():
    with pytest.raises(TypeError, match="linear: missing a required argument: 'end_value'"):
        lj.linear(0.1)
    with pytest.raises(TypeError, match="cyclic: got an unexpected keyword argument 'peak'"):
        lj.cyclic(0.1, 0.2, 10, peak=1)
    with pytest.raises(TypeError, match="one_cycle_momentum: total_steps must be given"):
        lj.one_cycle_momentum()
    with pytest.raises(TypeError, match="boundaries must be a sequence of numbers"):
        lj.piecewise_constant(10, [1, 2])


@every_schedule
def test_flax_saves_and_restores(name):
    serialization = pytest.importorskip("flax.serialization")
    s = jax.tree.map(jnp.float32, make(name))
    other = jax.tree.map(lambda x: x * 0, s)
    restored = serialization.from_bytes(other, serialization.to_bytes(s))
    assert jax.tree.structure(restored) == jax.tree.structure(s)
    for x, y in zip(jax.tree.leaves(restored), jax.tree.leaves(s), strict=True):
        np.testing.assert_array_equal(x, y)


def test_flax_may_be_imported_last():
    pytest.importorskip("flax")
    program = (
        "import sys, importlib.util, lropt_jax.schedules as lj\n"
        "s = lj.linear(1.0, 0.0, 4)\n"
        "assert 'flax' not in sys.modules\n"
        "importlib.util.find_spec('flax.serialization')\n"
        "import flax.serialization\n"
        "assert flax.serialization.to_state_dict(s)['init_value'] == 1.0\n"
        "assert not [f for f in sys.meta_path if 'lropt' in type(f).__module__]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@every_schedule
def test_drops_into_optax_and_into_a_tunable_optimizer(name):
    s = make(name)
    gradients = jnp.ones(2)
    theirs, ours = optax.sgd(s), lj.tunable(optax.sgd)(s)
    state, own = theirs.init(gradients), ours.init(gradients)
    for t in range(3):
        expected, state = theirs.update(gradients, state)
        updates, own = ours.update(gradients, own)
        np.testing.assert_allclose(updates, expected, rtol=1e-6)
        np.testing.assert_allclose(updates, -s(t) * jnp.ones(2), rtol=1e-6)


def test_products_and_plain_callables():
    s = 2.0 * lj.linear(1.0, 0.0, 4) * (lambda t: t + 1.0)
    np.testing.assert_allclose(s([0, 1, 2]), [2.0, 3.0, 3.0])
    theirs = optax.cosine_decay_schedule(0.1, 10)
    assert jax.tree.leaves(lj.warmup(theirs, 3).arguments["schedule"]) == []
    np.testing.assert_allclose(lj.warmup(theirs, 3)(5), theirs(2), rtol=1e-6)
    with pytest.raises(TypeError):
        lj.constant(1.0) * "2"


def test_a_schedule_of_ones_own():
    @schedule
    def wave(count, height, shape="sine", up: bool = True):
        return height * jnp.sin(count) * (1 if up else -1)

    assert repr(wave(2.0, up=False)) == "wave(height=2, shape='sine', up=False)"
    assert jax.tree.leaves(wave(2.0)) == [2.0]
    with pytest.raises(ValueError, match="wave: height must be a finite number, got inf"):
        wave(float("inf"))

    def start(init_value):
        return {"z": init_value, "a": 0.0}

    def observe(state, value, init_value):
        return {"a": state["a"] + 1, "z": state["z"] * value}

    @feedback_schedule(start=start, observe=observe)
    def scaled(count, state, init_value):
        return state["z"]

    s = scaled(2.0)
    last, values = jax.lax.scan(lambda s, v: (s.observe(v), s(0)), s, jnp.array([0.5, 0.5]))
    np.testing.assert_allclose(values, [2.0, 1.0])
    assert repr(last) == "scaled(init_value=2; z=0.5, a=2)"
    with pytest.raises(ValueError, match=r"must have shape \(\), got shape \(1,\)"):
        s.observe(jnp.ones(1))


def test_what_a_script_defines_comes_back_from_a_worker_with_the_same_structure():
    @schedule
    def wave(count, height):
        return height * jnp.sin(count)

    s = {"own": wave(2.0), "plain": lj.warmup(lambda t: t + 1.0, 3)}
    there = cloudpickle.loads(cloudpickle.dumps(s))
    back = cloudpickle.loads(cloudpickle.dumps(there))
    assert jax.tree.structure(there) == jax.tree.structure(s) == jax.tree.structure(back)
    assert hash(jax.tree.structure(back)) == hash(jax.tree.structure(s))
    added = jax.tree.map(lambda x, y: x + y, s, back)
    np.testing.assert_allclose(added["own"](1), 4.0 * jnp.sin(1.0))
    np.testing.assert_allclose(added["plain"](7), 2.0)
    again, other = lj.warmup(lambda t: t + 1.0, 3), lj.warmup(lambda t: t + 2.0, 3)
    assert jax.tree.structure(again) == jax.tree.structure(s["plain"])
    assert jax.tree.structure(other) != jax.tree.structure(s["plain"])


def test_bools_may_be_traced_where_they_are_no_structure():
    s = jax.jit(lambda flag: lj.exponential_decay(1.0, 0.5, 4, staircase=flag)(6))
    np.testing.assert_allclose([s(True), s(False)], [0.5, 0.5**1.5], rtol=1e-6)


def test_other_numbers_in_an_optimizers_state_compile_nothing():
    tx = lj.sgd(lj.one_cycle(0.1, 20), momentum=lj.one_cycle_momentum(total_steps=20))
    gradients = jnp.ones(2)
    step = jax.jit(tx.update)
    _, state = step(gradients, tx.init(gradients))
    state = lj.set_hyperparams(
        state,
        learning_rate=lj.one_cycle(0.5, 100, warmup_fraction=0.1),
        momentum=lj.one_cycle_momentum(0.5, 0.9, 100, warmup_fraction=0.1),
    )
    np.testing.assert_allclose(
        lj.hyperparams(state)["learning_rate"],
        lj.one_cycle(0.5, 100, warmup_fraction=0.1)(1),
        rtol=1e-6,
    )
    for _ in range(3):
        _, state = step(gradients, state)
    assert step._cache_size() == 1


@every_schedule
def test_nothing_is_promoted_by_accident(name):
    s = make(name)
    expected = s(5)
    with jax.numpy_dtype_promotion("strict"):
        assert s(5) == expected
        assert s(jnp.int32(5)) == expected
        if s.observes:
            s.observe(1.0)
        (2.0 * s)(5)


# Counts that float32 does not hold.

FAR = 2**24 + 1


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: lj.piecewise_constant([FAR], [1.0, 0.5]), {FAR - 1: 1.0, FAR: 0.5, FAR + 1: 0.5}),
        (lambda: lj.cyclic(0.0, 1.0, 5), {FAR - 1 + i: abs(i - 4) / 5 for i in range(10)}),
        (lambda: lj.cyclic(0.0, 1.0, 1), {FAR - 1: 0.0, FAR: 1.0, FAR + 1: 0.0}),
        (lambda: lj.step_decay(1.0, every=FAR), {FAR - 1: 1.0, FAR: 0.5}),
        (lambda: lj.per_epoch(lambda e: e % 2, 1), {FAR - 1: 0.0, FAR: 1.0, FAR + 2: 1.0}),
        (lambda: lj.sequence([0.0, lambda c: c % 2], [FAR]), {FAR - 1: 0.0, FAR + 1: 1.0}),
        (lambda: lj.warmup(lambda c: c + 1.0, FAR - 1), {FAR: 2.0}),
        (lambda: lj.exponential_decay(1.0, 0.5, FAR, staircase=True), {FAR - 1: 1.0, FAR: 0.5}),
        (lambda: lj.linear(0.0, 4.0, 4, transition_begin=FAR), {FAR + 1: 1.0, FAR + 3: 3.0}),
        (lambda: 2.0 * lj.schedules.as_schedule(lambda c: c % 2), {FAR: 2.0, FAR + 1: 0.0}),
        (
            lambda: lj.warm_restarts(1.0, 4),
            {2**24 + i: [1, 0.8535534, 0.5, 0.1464466][i % 4] for i in range(6)},
        ),
        (lambda: lj.warm_restarts(1.0, 1, 1, end_value=0.5), {FAR: 1.0, 2**31 - 1: 1.0}),
        (
            lambda: lj.warm_restarts(1.0, FAR, 2),
            {FAR - 1: 0.0, FAR: 1.0, 3 * FAR - 1: 0.0, 3 * FAR: 1.0},
        ),
        (
            lambda: lj.warm_restarts(1.0, 1, 3, 0.5),
            {(3**17 - 1) // 2: 0.5**17, (3**17 - 1) // 2 - 1: 0.0},
        ),
        (
            lambda: lj.warm_restarts(1.0, 5, 2, 0.9),
            {5 * (2**28 - 1): 0.9**28, 2**31 - 1: 0.9**28 * 0.3454915},
        ),
        (
            lambda: lj.one_cycle(1.0, FAR + 2, 0.5, 4, 4),
            {0: 0.25, FAR + 1: 0.0625, 2**31 - 1: 0.0625},
        ),
        (lambda: lj.one_cycle_momentum(0.8, 0.9, FAR + 2), {0: 0.9, FAR + 1: 0.9, 2**31 - 1: 0.9}),
        (lambda: lj.step_decay(1.0, 0.5, every=2**30, offset=9), {0: 1.0, 2**31 - 1: 0.5}),
        (
            lambda: lj.warmup_stable_decay(1.0, 10, 2**31 - 1, 100),
            {0: 0.0, 5: 0.5, 10: 1.0, 2**31 - 1: 1.0},
        ),
        (lambda: lj.cyclic(0.0, 1.0, 2**31 - 1), {0: 0.0, 2**30: 0.5}),
    ],
)
def test_far_counts_are_exact(make, expected):
    """By itself, in an optimizer's state, under jit and under vmap."""
    counts, values = list(expected), list(expected.values())
    s = make()
    near = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-9)
    near([s(c) for c in counts], values)
    near(jax.jit(lambda s, c: s(c))(s, jnp.array(counts)), values)
    start = lj.sgd(s).init(jnp.ones(1))
    state = jax.vmap(lambda c: start._replace(count=c))(jnp.array(counts, jnp.int32))
    near(lj.hyperparams(state)["learning_rate"], values)


@pytest.mark.parametrize("name", EXAMPLES)
def test_before_the_first_update_it_is_as_at_the_first(name):
    s = getattr(lj, name)(**EXAMPLES[name])
    counts = [-5, np.int64(-1), -0.5, jnp.int32(-(2**31))]
    np.testing.assert_array_equal([s(c) for c in counts], [s(0)] * len(counts))


def test_whole_steps_stay_ints_and_nothing_is_truncated():
    def steps(state):
        return state.hyperparams["learning_rate"].arguments["transition_steps"]

    tx = lj.sgd(lj.linear(1.0, 0.0, 4))
    state = tx.init(jnp.ones(1))
    assert steps(state).dtype == jnp.int32
    assert steps(lj.sgd(lj.linear(1.0, 0.0, 4.0)).init(jnp.ones(1))).dtype == jnp.float32
    whole = lj.set_hyperparams(state, learning_rate=lj.linear(1.0, 0.0, 9.0))
    assert steps(whole).dtype == jnp.int32
    half = lj.set_hyperparams(state, learning_rate=lj.linear(1.0, 0.0, 4.5))
    assert float(steps(half)) == 4.5
    real = lj.sgd(lj.linear(1.0, 0.0, 4.0)).init(jnp.ones(1))
    far = lj.set_hyperparams(real, learning_rate=lj.linear(1.0, 0.0, FAR))
    assert int(steps(far)) == FAR
    traced = jax.jit(lambda t: lj.set_hyperparams(state, learning_rate=lj.linear(1.0, 0.0, t)))
    assert float(steps(traced(2.5))) == 2.5
    assert float(lj.linear(1.0, 0.0, 2**40)(2**39)) == 0.5
