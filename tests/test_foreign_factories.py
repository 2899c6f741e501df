"""Every optimizer of `optax` and `optax.contrib` under `tunable`."""

from __future__ import annotations

import dataclasses
import inspect
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from lropt_jax import (
    Task,
    by_layer,
    evaluation_params,
    fit,
    grid,
    hyperparams,
    register_evaluation,
    set_hyperparams,
    sgd,
    sweep,
    tunable,
)

PARAMS = {
    "w": jnp.arange(12.0).reshape(3, 4) / 10 - 0.5,
    "b": jnp.array([0.1, -0.2, 0.3, 0.4]),
}
# What a factory needs beside a learning rate.
REQUIRED = {
    "l2_norm_clip": 1.0,
    "noise_multiplier": 0.1,
    "seed": 0,
    "base_optimizer": optax.sgd(0.1),
}
BY_EXAMPLE = {"dpsgd"}  # gradients of each example
HERE = {"lion", "adafactor"}
THERE = {"muon", "prodigy", "schedule_free_adamw", "schedule_free_sgd", "ademamix"}


def factories():
    for module in (optax, optax.contrib):
        for name, factory in sorted(inspect.getmembers(module, inspect.isfunction)):
            public = not name.startswith("_")
            if public and "learning_rate" in inspect.signature(factory).parameters:
                yield name, factory


FACTORIES = dict(factories())
SOAP = [name for name in vars(optax.contrib) if name == "soap"]


def loss(params):
    return jnp.sum(jnp.sin(params["w"]) ** 2) + jnp.sum((params["b"] - 0.5) ** 2)


def arguments(name):
    parameters = inspect.signature(FACTORIES[name]).parameters
    needed = [k for k, p in parameters.items() if p.default is inspect.Parameter.empty]
    extra = {"key": jax.random.key(0)} if name == "noisy_sgd" else {}
    return {k: REQUIRED[k] for k in needed if k != "learning_rate"} | extra


def train(name, tx, params, state, steps=3):
    for _ in range(steps):
        value, gradients = jax.value_and_grad(loss)(params)
        if name in BY_EXAMPLE:
            gradients = jax.tree.map(lambda g: jnp.stack([g, 2 * g]), gradients)
        extra = {"value": value, "grad": gradients}
        extra |= {"obj_fn": loss} if name == "sophia" else {"value_fn": loss}
        updates, state = tx.update(gradients, state, params, **extra)
        params = optax.apply_updates(params, updates)
    return params, state


def test_those_that_matter_are_there():
    assert set(FACTORIES) >= HERE | THERE | set(SOAP)
    assert len(FACTORIES) > 45


@pytest.mark.parametrize("name", FACTORIES)
def test_jit_vmap_and_checkpoint(name, tmp_path):
    """Under jit; a population of rates equals a loop; a checkpoint goes on bit by bit."""
    serialization = pytest.importorskip("flax.serialization")
    checkpoint = pytest.importorskip("orbax.checkpoint")
    factory, needed = tunable(FACTORIES[name]), arguments(name)
    tx = factory(learning_rate=0.05, **needed)
    state = tx.init(PARAMS)
    chex.assert_trees_all_equal_dtypes(
        state, jax.eval_shape(lambda s: train(name, tx, PARAMS, s, 1)[1], state)
    )

    @jax.jit
    def single(rate):
        tx = factory(learning_rate=rate, **needed)
        return train(name, tx, PARAMS, tx.init(PARAMS))[0]

    rates = jnp.array([0.05, 0.02])
    together = jax.jit(jax.vmap(single))(rates)
    for i, rate in enumerate(rates):
        chex.assert_trees_all_close(
            jax.tree.map(lambda x, i=i: x[i], together), single(rate), rtol=1e-5, atol=1e-6
        )
    go_on = jax.jit(lambda p, s: train(name, tx, p, s))
    params, state = go_on(PARAMS, state)
    # Concrete numbers may be folded into others: Muon's five iterations enlarge the last bit.
    chex.assert_trees_all_close(
        params, jax.tree.map(lambda x: x[0], together), rtol=1e-4, atol=3e-5
    )
    assert go_on._cache_size() == 1
    restored = [serialization.from_bytes(tx.init(PARAMS), serialization.to_bytes(state))]
    if name != "galore":  # which has an array of size 0: not for Orbax
        with checkpoint.StandardCheckpointer() as checkpointer:
            checkpointer.save(tmp_path / "state", state)
            checkpointer.wait_until_finished()
            shapes = jax.eval_shape(tx.init, PARAMS)
            restored.append(checkpointer.restore(tmp_path / "state", shapes))
    for again in restored:
        chex.assert_trees_all_equal_structs(again, state)
        chex.assert_trees_all_equal(go_on(params, again)[0], go_on(params, state)[0])


@pytest.mark.parametrize("name", sorted(HERE | THERE | {"noisy_sgd"} | set(SOAP)))
def test_equal_to_optax_itself(name):
    factory, needed = FACTORIES[name], arguments(name)
    tx, plain = tunable(factory)(learning_rate=0.05, **needed), factory(0.05, **needed)
    ours, _ = jax.jit(lambda: train(name, tx, PARAMS, tx.init(PARAMS)))()
    theirs, _ = jax.jit(lambda: train(name, plain, PARAMS, plain.init(PARAMS)))()
    chex.assert_trees_all_close(ours, theirs, rtol=1e-4, atol=3e-5)


@pytest.mark.parametrize(
    ("factory", "given"),
    [
        (optax.optimistic_gradient_descent, {"beta": 1.0}),
        (optax.optimistic_adam_v2, {"beta": 1.0}),
        (optax.contrib.adopt, {"clip_value_fn": lambda step: step**0.5}),
        (optax.contrib.galore, {"rank": 2, "update_proj_gap": 5}),
        (optax.adafactor, {"min_dim_size_to_factor": 2, "multiply_by_parameter_scale": False}),
        (optax.contrib.muon, {"ns_steps": 3}),
    ],
)
def test_what_a_factory_may_take_is_its_own_affair(factory, given):
    state = tunable(factory)(0.1, **given).init(PARAMS)
    known = hyperparams(state)
    assert "learning_rate" in known
    assert set(known) & set(given) <= {"beta"}  # how many, and code, are structure
    tunable(optax.scale_by_sm3)().init(PARAMS)
    tunable(optax.contrib.scale_by_adopt)().init(PARAMS)


def test_names_have_no_meaning_of_ours():
    make = tunable(lambda lr, decay, momentum: sgd(lr / decay + 0 * momentum))
    tx = make(0.1, decay=1000.0, momentum=-5)
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["b"], -1e-4 * PARAMS["b"], rtol=1e-5)


def steps_in_python(learning_rate, count):
    def update(updates, state, params=None):
        for _ in range(int(count)):
            updates = jax.tree.map(lambda g: -learning_rate * g, updates)
        return updates, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def test_what_cannot_be_data_is_named_at_once():
    with pytest.raises(ValueError, match=r"fails when k is data.*TypeError.*static=\['k'\]"):
        tunable(lambda lr, k: optax.sgd(lr * range(k)[-1]))(0.1, k=3)
    with pytest.raises(ValueError, match=r"fails when k, m is data.*static=\['k', 'm'\]"):
        tunable(lambda lr, k, m: sgd(lr) if k + m > 2 else sgd(-lr))(0.1, k=1.0, m=2.0)
    tx = tunable(steps_in_python)(0.1, count=2.0)
    with pytest.raises(ValueError, match=r"fails when count is data.*static=\['count'\]"):
        jax.jit(tx.update)(PARAMS, tx.init(PARAMS), PARAMS)
    tx = tunable(optax.adafactor)(0.1, min_dim_size_to_factor=jnp.int32(2))
    with pytest.raises(ValueError, match=r"static=\['min_dim_size_to_factor'\]"):
        jax.jit(tx.update)(PARAMS, jax.jit(tx.init)(PARAMS), PARAMS)


def test_an_int_where_the_default_is_one_is_structure_where_it_must_be():
    tx = tunable(lambda lr, k=3: optax.sgd(lr * range(k)[-1]))(0.5)
    assert set(hyperparams(tx.init(PARAMS))) == {"lr"}
    tx = tunable(steps_in_python, static=["count"])(0.5, count=2)
    np.testing.assert_allclose(tx.update(PARAMS, tx.init(PARAMS))[0]["b"], 0.25 * PARAMS["b"])


def checked(learning_rate):
    if not isinstance(learning_rate, float):
        raise AssertionError  # as a bare assert does, which pytest gives words to
    return optax.sgd(learning_rate)


def every(learning_rate, k):
    return optax.MultiSteps(optax.sgd(learning_rate), k).gradient_transformation()


def test_errors_of_any_kind_are_explained():
    """Of one without words, and of one that comes with the first update."""
    with pytest.raises(ValueError, match=r"fails when learning_rate is data.*: AssertionError\. "):
        tunable(checked)(0.1)
    tx = tunable(every)(0.1, 2)
    with pytest.raises(ValueError, match=r"fails when k is data.*not callable.*static=\['k'\]"):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)


def test_other_errors_are_passed_on():
    def broken(learning_rate):
        raise RuntimeError("no such optimizer")

    def unfit(learning_rate):
        return optax.GradientTransformation(lambda params: (), lambda *_: 1 / 0)

    with pytest.raises(RuntimeError, match="no such optimizer"):
        tunable(broken)(0.1)
    with pytest.raises(ZeroDivisionError):
        tunable(unfit)(0.1).update(PARAMS, tunable(unfit)(0.1).init(PARAMS))
    logs = tunable(lambda lr: optax.stateless(lambda u, p: jax.tree.map(jnp.log, u)))(0.1)
    with jax.debug_nans(True), pytest.raises(FloatingPointError):
        logs.update(jax.tree.map(lambda x: x - 10.0, PARAMS), logs.init(PARAMS))


@dataclasses.dataclass
class Recipe:
    """A factory that is no key of a dict."""

    momentum: float = 0.5

    def __call__(self, learning_rate, **others):
        return sgd(learning_rate, self.momentum, **others)


def test_numbers_in_keywords_that_a_factory_passes_on_are_data():
    def clipped(learning_rate, **others):
        return optax.chain(optax.clip(1.0), optax.adamw(learning_rate, **others))

    def run(tx):
        updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
        return updates

    tx = tunable(clipped)(0.1, weight_decay=0.5, b1=0.5)
    assert repr(tx) == "clipped(learning_rate=0.1, weight_decay=0.5, b1=0.5)"
    state = set_hyperparams(tx.init(PARAMS), weight_decay=0.25)
    assert {k: float(v) for k, v in hyperparams(state).items()} == {
        "learning_rate": np.float32(0.1), "weight_decay": 0.25, "b1": 0.5,
    }  # fmt: skip
    chex.assert_trees_all_close(
        tx.update(PARAMS, state, PARAMS)[0], run(clipped(0.1, weight_decay=0.25, b1=0.5)), rtol=1e-5
    )
    rates = jnp.array([0.1, 0.2])
    many = jax.vmap(lambda wd: run(tunable(clipped)(0.1, weight_decay=wd)))(rates)
    for i, wd in enumerate(rates):
        chex.assert_trees_all_close(
            jax.tree.map(lambda x, i=i: x[i], many), run(clipped(0.1, weight_decay=wd)), rtol=1e-5
        )
    assert set(hyperparams(tunable(every_of)(0.1, n=2).init(PARAMS))) == {"learning_rate"}
    assert set(hyperparams(tunable(Recipe())(0.1, l2=0.5).init(PARAMS))) == {
        "learning_rate", "l2",
    }  # fmt: skip
    layers = by_layer(clipped, 0.1, weight_decay=0.5).init(PARAMS)
    assert set(hyperparams(layers)) == {"learning_rate", "decay", "weight_decay"}


def every_of(learning_rate, **structure):
    return optax.chain(*[optax.sgd(learning_rate)] * structure["n"])


# Where an optimizer wants to be judged.


def test_schedule_free_is_judged_at_its_average():
    tx = tunable(optax.contrib.schedule_free_sgd)(0.5)
    plain = optax.contrib.schedule_free_sgd(0.5)
    params, state = train("", tx, PARAMS, tx.init(PARAMS))
    theirs, their_state = train("", plain, PARAMS, plain.init(PARAMS))
    expected = optax.contrib.schedule_free_eval_params(their_state, theirs)
    chex.assert_trees_all_close(evaluation_params(state, params), expected, rtol=1e-5)
    assert float(jnp.abs(expected["w"] - theirs["w"]).max()) > 1e-3
    assert evaluation_params(sgd(0.1).init(PARAMS), PARAMS) is PARAMS


def test_a_group_is_judged_by_itself():
    labels = {"w": "free", "b": "plain"}
    parts = {"free": tunable(optax.contrib.schedule_free_sgd)(0.5), "plain": sgd(0.1)}
    tx = optax.chain(optax.clip(10.0), optax.partition(parts, labels))
    params, state = train("", tx, PARAMS, tx.init(PARAMS))
    alone = optax.contrib.schedule_free_sgd(0.5)
    whole, whole_state = train("", alone, PARAMS, alone.init(PARAMS))
    point = evaluation_params(state, params)
    expected = optax.contrib.schedule_free_eval_params(whole_state, whole)
    np.testing.assert_allclose(point["w"], expected["w"], rtol=1e-5)
    np.testing.assert_array_equal(point["b"], params["b"])


class Averaged(NamedTuple):
    count: jax.Array
    mean: dict


def test_any_state_may_be_registered():
    def averaging(learning_rate):
        inner = optax.sgd(learning_rate)

        def update(updates, state, params):
            updates, _ = inner.update(updates, inner.init(params))
            new = optax.apply_updates(params, updates)
            count = state.count + 1
            mean = jax.tree.map(lambda m, p: m + (p - m) / count, state.mean, new)
            return updates, Averaged(count, mean)

        return optax.GradientTransformation(
            lambda params: Averaged(jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)), update
        )

    register_evaluation(Averaged, lambda state, params: state.mean)
    tx = tunable(averaging)(0.1)
    state, path = tx.init(PARAMS), []
    params = PARAMS
    for _ in range(3):
        params, state = train("", tx, params, state, steps=1)
        path.append(params["b"])
    np.testing.assert_allclose(evaluation_params(state, params)["b"], np.mean(path, axis=0))
    with pytest.raises(TypeError, match="state_type must be a class"):
        register_evaluation("Averaged", lambda state, params: params)


def test_set_and_read_as_any_other():
    tx = tunable(optax.contrib.muon)(0.1)
    state = set_hyperparams(tx.init(PARAMS), learning_rate=0.5, beta=0.5)
    assert float(hyperparams(state)["beta"]) == 0.5


DATA = {"x": jnp.eye(4), "y": jnp.arange(4.0)}


def errors(params, batch):
    return (batch["x"] @ params - batch["y"]) ** 2


def least_squares():
    return Task(
        init=lambda key: (jnp.zeros(4), ()),
        loss=lambda p, s, batch, key: (errors(p, batch).mean(), (s, {})),
        evaluate=lambda p, s, batch: {"loss": errors(p, batch)},
        train=DATA,
        valid=DATA,
        batch_size=4,
    )


def squares():
    x = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)

    def errors(params, batch):
        return (batch["x"] @ params - batch["x"].sum(1)) ** 2

    return Task(
        init=lambda key: (jnp.zeros(3), ()),
        loss=lambda params, s, batch, key: (errors(params, batch).mean(), (s, {})),
        evaluate=lambda params, s, batch: {"loss": errors(params, batch)},
        train={"x": x},
        batch_size=8,
    )


SAM = optax.contrib.sam(optax.sgd(0.1), optax.sgd(0.05))


@pytest.mark.parametrize(
    "tx", [SAM, optax.chain(optax.clip(9.0), SAM), optax.MultiSteps(SAM, 2), optax.polyak_sgd()]
)
def test_a_training_gives_the_loss_to_those_that_take_it(tx):
    """SAM says that it takes extra arguments, and takes none; Polyak's steps need one."""
    watch = () if isinstance(tx, optax.MultiSteps) else ("sharpness",)
    history = fit(squares(), tx, 40, eval_every=20, watch=watch).history
    assert history["train_loss"][1] < history["train_loss"][0]
    scaled = sweep(squares(), lambda scale: optax.chain(tx, optax.scale(scale)), {"scale": [1.0]},
                   steps=4, progress=False)  # fmt: skip
    assert np.isfinite(scaled.best().value)


@pytest.mark.parametrize(
    ("tx", "words"),
    [
        (optax.lbfgs(), "'grad' and 'value_fn'"),
        (optax.contrib.sam(optax.sgd(0.1), optax.sgd(0.1), opaque_mode=True), "grad_fn"),
        (optax.contrib.sophia(0.1), "obj_fn"),
        (optax.lookahead(optax.sgd(0.1), 5, 0.5), "fast"),
    ],
)
def test_what_needs_more_than_a_training_has_is_said_before_it(tx, words):
    error = f"must make an update of the gradients, .* value=, .* fails: .*{words}"
    with pytest.raises(ValueError, match=f"tx {error}"):
        fit(squares(), tx, 4)
    with pytest.raises(ValueError, match=f"space: .*{error}"):
        sweep(squares(), lambda s: optax.chain(tx, optax.scale(s)), {"s": [1.0]}, steps=4)


def test_fit_and_sweep_evaluate_where_the_optimizer_wants_to_be_judged():
    data, task = DATA, least_squares()
    factory = optax.contrib.schedule_free_sgd
    params, state = jnp.zeros(4), factory(0.9).init(jnp.zeros(4))
    for _ in range(5):
        gradients = jax.grad(lambda p: errors(p, data).mean())(params)
        updates, state = factory(0.9).update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    point = optax.contrib.schedule_free_eval_params(state, params)
    expected, raw = float(errors(point, data).mean()), float(errors(params, data).mean())
    assert abs(expected - raw) > 0.01
    for tx in (factory(0.9), tunable(factory)(0.9)):
        result = fit(task, tx, steps=5)
        np.testing.assert_allclose(result.history["valid_loss"], [expected], rtol=1e-4)
        np.testing.assert_allclose(result.params, params, rtol=1e-4)
    swept = sweep(task, factory, {"learning_rate": grid(0.9, 0.1)}, steps=5, progress=False)
    np.testing.assert_allclose(swept.best().value, expected, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:Specifying a key")
def test_an_optimizer_with_a_random_key_is_swept_and_read_back(tmp_path):
    arguments = {"steps": 6, "eval_every": 3, "progress": False, "directory": tmp_path / "kept"}
    space = {"learning_rate": grid(0.1, 0.2)}
    first = sweep(least_squares(), optax.noisy_sgd, space, **arguments)
    again = sweep(least_squares(), optax.noisy_sgd, space, **arguments)
    assert first.best().value == again.best().value < 1.5
