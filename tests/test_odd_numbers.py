"""Numbers and schedules as people give them: arrays, whole numbers without end, wrong things."""

from __future__ import annotations

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx, serialization

import lropt_jax as lj

W = jnp.ones(2)
TREE = {"a": W, "b": W}


def rates(tx, count):
    """The learning rate before each of the first updates."""
    state, found = tx.init(W), []
    for _ in range(count):
        found.append(float(lj.hyperparams(state)["learning_rate"]))
        _, state = tx.update(W, state, W)
    return found


@pytest.mark.parametrize(
    "schedule",
    [
        lj.piecewise_constant(np.array([1, 2]), [0.5, 0.25, 0.125]),
        lj.piecewise_constant([1, 2], jnp.array([0.5, 0.25, 0.125])),
        lj.sequence([0.5, 0.25, 0.125], jnp.array([1, 2])),
        lj.sequence(np.array([0.5, 0.25, 0.125]), [1, 2]),
    ],
)
def test_boundaries_and_values_may_be_one_array_in_an_optimizer(schedule):
    assert rates(lj.sgd(schedule), 3) == [0.5, 0.25, 0.125]
    state = lj.set_hyperparams(lj.sgd(1.0).init(W), learning_rate=schedule)
    assert float(lj.hyperparams(state)["learning_rate"]) == 0.5


def test_arrays_of_boundaries_under_vmap():
    def first(boundaries):
        state = lj.sgd(lj.piecewise_constant(boundaries, [0.5, 0.25, 0.125])).init(W)
        return lj.hyperparams(state)["learning_rate"]

    found = jax.vmap(first)(jnp.array([[1, 3], [0, 4], [0, 0]]))
    assert found.tolist() == [0.5, 0.25, 0.125]


def test_a_schedule_of_arrays_is_named():
    with pytest.raises(ValueError, match=r"learning_rate must be a schedule of scalars.*\(2,\)"):
        lj.sgd(lj.cosine_decay(jnp.array([0.1, 0.2]), 10)).init(W)
    members = jax.vmap(lambda rate: lj.sgd(rate).init(W))(jnp.arange(3.0))
    with pytest.raises(ValueError, match=r"learning_rate.*shape \(3,\), got shape \(2,\)"):
        lj.set_hyperparams(members, learning_rate=lj.cosine_decay(jnp.array([0.1, 0.2]), 20))


FAR = 2**31


@pytest.mark.parametrize("kind", [int, np.int64, np.array, float, lambda x: np.asarray([x])[0]])
def test_whole_numbers_beyond_32_bits_do_not_wrap(kind):
    assert float(lj.linear(0.0, 1.0, kind(2 * FAR))(kind(FAR))) == 0.5
    assert float(lj.piecewise_constant([kind(FAR + 7)], [1.0, 0.5])(5)) == 1.0
    assert float(lj.step_decay(1.0, 0.5, kind(FAR))(kind(2 * FAR))) == 0.25


def test_arrays_of_counts_beyond_32_bits():
    s = lj.step_decay(1.0, 0.5, FAR)
    assert s([FAR, 2 * FAR]).tolist() == s(np.array([FAR, 2 * FAR])).tolist() == [0.5, 0.25]
    assert float(lj.linear(0.0, 1.0, 2.0 * FAR)(jnp.uint32(FAR))) == 0.5
    assert float(jax.jit(lj.linear(0.0, 1.0, 2.0 * FAR))(jnp.uint32(FAR))) == 0.5
    with jax.enable_x64(True):
        assert float(lj.linear(0.0, 1.0, jnp.array(2 * FAR))(jnp.array(FAR))) == 0.5
        tx = lj.sgd(lj.linear(0.5, 0.25, jnp.array(2 * FAR)))
        assert rates(tx, 1) == [0.5]


def test_one_boundary_that_is_no_whole_number_leaves_the_others_exact():
    s = lj.piecewise_constant([2**24 + 1, 3e7], [1.0, 0.5, 0.25])
    assert [float(s(2**24)), float(s(2**24 + 1))] == [1.0, 0.5]


@pytest.mark.parametrize(
    "make",
    [
        lambda: lj.warmup("a", 5), lambda: lj.warmup(True, 5), lambda: lj.warmup([0.1, 0.2], 5),
        lambda: lj.per_epoch("x", 3), lambda: lj.sequence(["a", 1.0], [3]),
        lambda: lj.sequence("ab", [3]), lambda: lj.sequence(lj.constant(0.1), [3]),
        lambda: lj.starting_now("a", lj.sgd(0.1).init(W)), lambda: lj.warmup(lj.constant, 5),
        lambda: lj.batch_size_from(lj.linear(1.0, 0.1, 9), "a", 320),
        lambda: lj.batch_size_from(lj.linear(1.0, 0.1, 9), 32, "a"),
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_refused_by_name(make):
    with pytest.raises(TypeError, match=r"(schedules?|batch_size)(\[0\])? must be"):
        make()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: lj.adam(lj.cosine_decay), r"learning_rate.*cosine_decay: call it"),
        (lambda: lj.sgd(lj.sgd), r"learning_rate.*sgd: call it"),
        (lambda: lj.sgd(optax.adam).init(W), "adam gave GradientTransformation"),
        (lambda: lj.accumulate(lj.sgd, 2), r"tx must be .* like sgd\(1e-3\)"),
        (lambda: lj.from_optax(lj.adam, TREE, ()), r"tx must be .* like adam\(1e-3\)"),
        (lambda: lj.to_torch(lj.adam, TREE, (), []), r"tx must be .* like adam\(1e-3\)"),
        (lambda: lj.tunable(optax.sgd(0.1)), "factory must be a function"),
        (lambda: lj.tunable(lambda lr: None)(0.1), "must return an Optax transformation, got None"),
        (lambda: lj.by_layer("sgd", 0.1), "optimizer must be a factory"),
        (lambda: lj.by_layer(lj.sgd, 0.1, decay="a"), "decay must be a number or a schedule"),
        (lambda: lj.set_hyperparams(lj.sgd(0.1).init(W), 0.1), "numbers by name"),
        (lambda: lj.register_evaluation(int, None), "function must be a function"),
    ],
)
def test_what_is_no_optimizer_and_no_number_is_refused_by_name(make, named):
    with pytest.raises(TypeError, match=named):
        make()


@pytest.mark.parametrize("value", ["x", None, 1j, jnp.ones(3)])
def test_only_a_number_is_observed(value):
    with pytest.raises(ValueError, match="observe: value must be a number"):
        lj.observe(lj.sgd(lj.reduce_on_plateau(0.1)).init(W), value)


@pytest.mark.parametrize(
    ("tx", "new"),
    [
        (lj.by_layer(lj.adamw, 0.1), {"b1": 1.5}),
        (lj.by_layer(lj.adamw, 0.1), {"learning_rate": -1}),
        (lj.by_layer(lj.adamw, 0.1), {"weight_decay": -1.0}),
        (lj.by_layer(lj.adamw, 0.1), {"decay": -1}),
        (lj.by_layer(lj.rprop, 0.1), {"min_step": 2.0, "max_step": 1.0}),
        (lj.tunable(lambda lr: lj.adam(lr))(0.1), {"lr": -1.0}),
        (lj.tunable(lambda a, b: optax.chain(lj.sgd(a), lj.adam(0.1, b1=b)))(0.1, 0.5), {"b": 2.0}),
    ],
)
def test_a_factory_made_of_ours_refuses_when_set_what_it_refuses_when_built(tx, new):
    state = tx.init(TREE)
    with pytest.raises(ValueError, match="must be"):
        lj.set_hyperparams(state, **new)
    allowed = dict.fromkeys(new, 0.25) | {k: 3.0 for k in new if k == "max_step"}
    numbers = lj.hyperparams(jax.jit(lambda s: lj.set_hyperparams(s, **allowed))(state))
    assert {name: float(numbers[name]) for name in new} == allowed
    assert lj.hyperparams(pickle.loads(pickle.dumps(state))).keys() == numbers.keys()


def test_a_tunable_that_another_wraps_has_a_label():
    tx = lj.tunable(optax.lookahead, static="sync_period")(lj.sgd(0.5), 5, 0.5)
    params = optax.LookaheadParams.init_synced(TREE)
    state = lj.set_hyperparams(tx.init(params), sgd={"learning_rate": 0.25})
    numbers = lj.hyperparams(state)
    assert float(numbers["sgd"]["learning_rate"]) == 0.25
    assert list(numbers["lookahead"]) == ["slow_step_size"]
    updates, _ = tx.update(TREE, state, params)
    assert updates.fast["a"].tolist() == [-0.25, -0.25]


def test_what_wraps_another_is_not_carried_over():
    tx = lj.tunable(lambda clip, inner: optax.chain(optax.clip(clip), inner))(1.0, lj.adam(0.1))
    with pytest.raises(ValueError, match="got adam in optimizer"):
        lj.to_torch(tx, TREE, tx.init(TREE), ["a", "b"])
    with pytest.raises(ValueError, match="got adam in optimizer"):
        lj.from_optax(tx, TREE, optax.adam(0.1).init(TREE))


def test_a_plateau_that_another_wraps_observes():
    plateau = lj.sgd(lj.reduce_on_plateau(0.5, factor=0.5, patience=0))
    wrapped = lj.tunable(lambda clip, inner: optax.chain(optax.clip(clip), inner))(1.0, plateau)
    state = wrapped.init(W)
    for _ in range(2):
        state = lj.observe(state, 1.0)
    assert float(lj.hyperparams(state)["sgd"]["learning_rate"]) == 0.25


def test_microbatches_are_those_that_were_set():
    def optimizer(lr, k):
        return lj.accumulate(lj.sgd(lr), k)

    def updates(tx, state):
        found = []
        for _ in range(4):
            step, state = tx.update(W, state, W)
            found.append(float(step[0]))
        return found

    tx = lj.tunable(optimizer)(0.5, 2)
    assert updates(tx, tx.init(W)) == [0, -0.5, 0, -0.5]
    assert updates(tx, lj.set_hyperparams(tx.init(W), k=4.0)) == [0, 0, 0, -0.5]
    tx = optax.inject_hyperparams(optimizer)(lr=0.5, k=2.0)
    state = tx.init(W)
    state.hyperparams["k"] = jnp.float32(4.0)
    assert updates(tx, state) == [0, 0, 0, -0.5]


def test_a_name_may_stand_alone_and_must_be_known():
    def scaled(lr, lr_scale=1.0):
        return optax.sgd(lr * lr_scale)

    assert list(lj.hyperparams(lj.tunable(scaled, static="lr_scale")(0.1).init(W))) == ["lr"]
    with pytest.raises(ValueError, match="static: unknown argument 'lr_scal'; did you mean"):
        lj.tunable(scaled, static=["lr_scal"])
    assert list(lj.accumulate(lj.sgd(0.1), 2, extra_args="value").init(W).extra) == ["value"]
    with pytest.raises(ValueError, match="'b' is in none of a"):
        lj.by_layer(lj.sgd, 0.1, order="a").init(TREE)


def test_a_schedule_saved_where_a_nested_number_stands_is_named():
    saved = serialization.to_bytes(lj.adam(lj.warmup(lj.linear(0.1, 0.0, 10), 5)).init(W))
    with pytest.raises(ValueError, match=r"the schedule linear.* was saved, but here"):
        serialization.from_bytes(lj.adam(lj.warmup(0.1, 5)).init(W), saved)
    saved = serialization.to_bytes(lj.sgd(lj.sequence([lj.linear(1.0, 0.0, 3), 0.5], [3])).init(W))
    with pytest.raises(ValueError, match=r"schedules\[0\]: the schedule linear"):
        serialization.from_bytes(lj.sgd(lj.sequence([1.0, 0.5], [3])).init(W), saved)


def test_what_was_read_outlives_a_donated_state():
    tx = lj.sgd(0.5)
    state = tx.init(W)
    numbers = lj.hyperparams(state)
    jax.jit(tx.update, donate_argnums=1)(W, state, W)
    assert float(numbers["learning_rate"]) == 0.5


def test_a_large_whole_number_keeps_the_dtype():
    state = lj.set_hyperparams(lj.rprop(0.1).init(W), max_step=2**24 + 1)
    assert state.hyperparams["max_step"].dtype == jnp.float32
    state = lj.set_hyperparams(lj.sgd(0.1).init(W), learning_rate=10**30)
    assert float(lj.hyperparams(state)["learning_rate"]) == pytest.approx(1e30)
    with pytest.raises(ValueError, match="learning_rate must be a finite number"):
        lj.sgd(10**400)


@pytest.mark.parametrize("kind", [jnp.bfloat16, jnp.float8_e4m3fn, jnp.int4, np.float16, np.uint8])
def test_scalars_of_any_dtype_are_numbers(kind):
    """Also those that NumPy itself does not know as such."""
    one = np.asarray(1, kind)[()]
    assert isinstance(one, np.generic)
    assert float(lj.hyperparams(lj.adam(one).init(W))["learning_rate"]) == 1
    state = lj.tunable(optax.lion)(0.1).init(W)
    assert float(lj.hyperparams(lj.set_hyperparams(state, learning_rate=one))["learning_rate"]) == 1
    assert float(lj.linear(0.0, one, one)(7)) == float((one * lj.constant(1.0))(0)) == 1
    state = lj.observe(lj.sgd(lj.reduce_on_plateau(0.1)).init(W), one)
    assert float(state.hyperparams["learning_rate"].state["best"]) == 1
    with pytest.raises(ValueError, match="momentum must be in"):
        lj.sgd(0.1, momentum=2 * one.astype(np.float16))


def test_an_array_of_numpy_times_a_schedule_is_a_schedule():
    factors, s = np.array([2.0, 3.0]), lj.linear(1.0, 0.0, 2)
    np.testing.assert_array_equal((factors * s)(1), (s * factors)(1))
    assert isinstance(np.float32(2.0) * s, lj.Schedule)


@pytest.mark.parametrize("name", sorted(lj.OPTIMIZERS))
def test_complex_numbers_where_nothing_is_promoted(name):
    z, tx = jnp.ones(2, jnp.complex64), lj.OPTIMIZERS[name](learning_rate=0.5)
    usual, _ = tx.update(z, tx.init(z), z)
    with jax.numpy_dtype_promotion("strict"):
        strict, _ = tx.update(z, tx.init(z), z)
        assert float(lj.cyclic(0.0, 1.0, 4)(2.5)) == 0.625
    np.testing.assert_array_equal(strict, usual)


def test_evaluation_params_of_nnx():
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    factory = lj.tunable(optax.contrib.schedule_free_sgd)
    optimizer = nnx.Optimizer(model, factory(0.1), wrt=nnx.Param)
    params = nnx.state(model, nnx.Param)
    point = lj.evaluation_params(optimizer.opt_state, params)
    assert jax.tree.structure(point) == jax.tree.structure(params)
    pure = lj.evaluation_params(nnx.pure(optimizer.opt_state), nnx.pure(params))
    np.testing.assert_array_equal(point["kernel"][...], pure["kernel"])


@pytest.mark.parametrize(
    "rate",
    [
        lj.constant(-1.0), lj.cosine_decay(-1.0, 20), lj.warmup(lj.cosine_decay(-1.0, 9), 5),
        lj.piecewise_constant([3], [0.1, -0.1]), lj.sequence([lj.constant(-1.0), 0.1], [3]),
        lj.sequence([0.1, -0.1], [3]), lj.warmup(-0.1, 5), lj.per_epoch(-0.1, 5),
    ],
)  # fmt: skip
def test_a_schedule_hides_no_negative_rate(rate):
    with pytest.raises(ValueError, match=r"learning_rate: .* must be"):
        lj.sgd(rate)
    with pytest.raises(ValueError, match=r"learning_rate: .* must be"):
        lj.set_hyperparams(lj.sgd(0.1).init(W), learning_rate=rate)
    assert lj.sgd(-1.0 * lj.constant(-0.5)).init(W)  # a product of two may be positive


@pytest.mark.parametrize(
    ("factory", "name", "schedule"),
    [
        (lj.adam, "b1", lj.constant(1.5)), (lj.rprop, "eta_plus", lj.constant(0.5)),
        (lj.sgd, "momentum", lj.one_cycle_momentum(peak_value=9.5, total_steps=9)),
        (lj.adam, "b2", lj.sequence([0.9, 99.0], [3])),
    ],
)  # fmt: skip
def test_a_schedule_hides_no_other_number_out_of_range(factory, name, schedule):
    with pytest.raises(ValueError, match=f"{name}: .*: .* must be "):
        factory(0.1, **{name: schedule})
    state = factory(0.1, **{name: 1.2 if name == "eta_plus" else 0.9}).init(W)
    with pytest.raises(ValueError, match=f"{name}: .*: .* must be "):
        lj.set_hyperparams(state, **{name: schedule})
    lj.adam(0.1, b1=lj.linear(0.9, 1.0, 100))  # an end may be one that is only come near to


def test_a_feedback_schedule_returns_the_state_that_it_began_with():
    for seen in ({}, {"best": 1.0, "more": 2.0}):

        @lj.feedback_schedule(
            start=lambda value: {"best": value}, observe=lambda state, now, value, s=seen: s
        )
        def forgetful(count, state, value):
            return state["best"]

        with pytest.raises(ValueError, match="observe must return a state of best"):
            forgetful(1.0).observe(2.0)


@pytest.mark.parametrize(
    ("state", "error", "words"),
    [
        ({"value": 1.0}, ValueError, "start must give the state names of its own, got 'value'"),
        (3.0, TypeError, "start must return a dict of numbers .*, got 3.0"),
        ({"last": [1.0]}, TypeError, "start must return a dict of numbers"),
        ({"seen": False}, TypeError, "start must return a dict of numbers .*0.0 and 1.0"),
    ],
)
def test_a_feedback_schedule_begins_with_numbers_that_have_names_of_their_own(state, error, words):
    """It is saved and mapped beside the arguments: one would take the other's place."""

    @lj.feedback_schedule(start=lambda value: state, observe=lambda state, now, value: state)
    def watching(count, state, value):
        return value

    with pytest.raises(error, match=f"watching: {words}"):
        watching(1.0)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        (3, "a formula must be a function of count and named numbers, got 3"),
        (lambda count, *values: values[0], r"a formula's numbers need names, got \*values"),
        (lambda count, **values: 1.0, r"a formula's numbers need names, got \*\*values"),
        (lambda count, value, /: value, "a formula's numbers need names, got value"),
    ],
)
def test_what_is_no_formula_is_refused(formula, words):
    with pytest.raises(TypeError, match=words):
        lj.schedule(formula)


def test_a_partial_is_a_formula():
    s = lj.schedule(functools.partial(lambda count, rate, factor: rate * factor, factor=3.0))(2.0)
    assert float(s(0)) == 6.0
    assert jax.tree.structure(lj.sgd(s).init(W)) == jax.tree.structure(lj.sgd(s).init(W))
    assert "rate=2, factor=3" in repr(s)


def test_a_callable_gives_one_number():
    tx = lj.sgd(lambda count: jnp.ones(2))
    with pytest.raises(TypeError, match=r"must give a number for each count, but .*lambda.* gave"):
        tx.update(W, tx.init(W))


@pytest.mark.parametrize(
    "given", [{"state": {}, "param_groups": None}, {"state": [], "param_groups": []}]
)
def test_half_a_state_dict_is_named(given):
    with pytest.raises(ValueError, match="'state' must be a mapping and 'param_groups' a list"):
        lj.from_torch(lj.adam(0.1), TREE, given, ["a", "b"])


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: lj.early_stopping(3), "metric must be a name"),
        (lambda: lj.early_stopping(min_delta="a"), "min_delta must be a finite number >= 0"),
        (lambda: lj.mlp("ab"), "features must be one or more widths"),
        (lambda: lj.mlp((8, 2), dropout="a"), r"dropout must be in \[0, 1\)"),
        (lambda: lj.cnn(width="a"), "width must be a whole number"),
        (lambda: lj.plot_paths(3), "optimizer 1 must be a constructor"),
        (lambda: lj.feedback_schedule(3, 4)(lambda count, state: 1.0), "start must be a function"),
    ],
)
def test_what_is_of_another_kind_is_refused_by_name(make, named):
    with pytest.raises((TypeError, ValueError), match=named):
        make()
