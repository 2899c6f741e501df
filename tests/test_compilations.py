"""Nothing compiles twice: numbers are data, lengths are data, a function written again is the same.

Each case is trained with one set of numbers, which compiles, then with others, which must compile
nothing and still be what a loop by hand gives.
"""

from __future__ import annotations

import jax
import numpy as np
import optax
import pytest

from lropt_jax import (
    accumulate,
    adagrad,
    adam,
    adamw,
    cosine_decay,
    fit,
    linear,
    reduce_on_plateau,
    schedule,
    sgd,
    sweep,
    tunable,
)
from lropt_jax.schedules.fingerprint import Carried, Fingerprint, handing
from tests.compilations import counted
from tests.problems import regression
from tests.test_training import by_hand

TASK = regression()


@schedule
def falling(count, init_value, rate):
    return init_value * rate**count


def _falling_again():
    @schedule
    def falling(count, init_value, rate):
        return init_value * rate**count

    return falling


PAIRS = {
    "numbers": lambda x: adam(0.1 * x, b1=0.8 * x),
    "an integer": lambda x: adam(1 if x == 1 else 0.5),
    "in a chain": lambda x: optax.chain(optax.clip(1.0), adamw(0.1 * x, weight_decay=0.2 * x)),
    "twice in a chain": lambda x: optax.chain(sgd(0.5 * x), adam(0.3 / x)),
    "a mask": lambda x: adamw(0.1 * x, mask={"w": True, "b": False}),
    "of the start": lambda x: adagrad(0.3, initial_accumulator_value=x),
    "a schedule": lambda x: adam(cosine_decay(0.1 * x, 20 * x)),
    "an inline lambda": lambda x: adam(lambda count: 0.1 * 0.9**count, b2=0.9 * x),
    "a schedule of Optax": lambda x: adam(optax.cosine_decay_schedule(0.1, 40), b2=0.9 * x),
    "a formula written again": lambda x: sgd(_falling_again()(0.1 * x, 0.9)),
    "another's factory": lambda x: tunable(optax.lion)(0.01 * x),
    "a factory of one's own": lambda x: tunable(lambda rate: optax.chain(adam(rate)))(0.1 * x),
    "a tunable around one": lambda x: tunable(lambda s: optax.chain(adam(0.1), optax.scale(s)))(x),
    "microbatches": lambda x: accumulate(adam(0.1), 1 if x == 1 else 3),
    "plain Optax": lambda x: optax.adam(0.1),
}


@pytest.mark.parametrize("name", PAIRS)
def test_other_numbers_compile_nothing(name):
    make = PAIRS[name]
    fit(TASK, make(1.0), 6)
    with counted() as compilations:
        result = fit(TASK, make(0.75), 6)
    assert compilations == []
    params, _, losses = by_hand(TASK, make(0.75), 0, 6)
    np.testing.assert_allclose(result.params["w"], params["w"], rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(result.history["train_loss"], np.mean(losses), rtol=1e-5)


def test_other_code_is_another_program():
    losses = [
        fit(TASK, adam(f), 20).history["train_loss"]
        for f in (lambda count: 0.1 * 0.9**count, lambda count: 0.1 * 0.8**count)
    ]
    assert losses[0] != losses[1]
    once = sgd(0.1)
    same = fit(TASK, optax.chain(once, once), 5).params["w"]
    other = fit(TASK, optax.chain(sgd(0.1), sgd(0.2)), 5).params["w"]
    by = by_hand(TASK, optax.chain(sgd(0.1), sgd(0.2)), 0, 5)[0]["w"]
    assert not np.array_equal(same, other)
    np.testing.assert_allclose(other, by, rtol=1e-5)


def test_other_lengths_compile_nothing():
    def train(steps, eval_every=None, microbatches=None):
        plateau = reduce_on_plateau(0.01)
        return fit(TASK, sgd(plateau), steps, eval_every=eval_every, accumulate=microbatches)

    train(20, 20), train(20, 20, 2), train(20, 20, linear(1, 6, 5))
    with counted() as compilations:
        train(1, 1), train(50, 7), train(3000, 1500)
        train(60, 6, 3), train(30, 10, linear(2, 7, 5))
    assert compilations == []


def test_a_second_sweep_compiles_nothing_whatever_its_lengths():
    def run(steps, eval_every, factor, strategy):
        # An optimizer built beforehand, whose number is its own in each sweep.
        before = sgd(factor)
        return sweep(
            TASK,
            lambda learning_rate: optax.chain(before, sgd(learning_rate)),
            {"learning_rate": [0.1, 0.2]},
            steps=steps,
            eval_every=eval_every,
            strategy=strategy,
            progress=False,
        )

    for strategy in ("vmap", "map"):
        first = run(20, 20, -1.0 * -1, strategy)
        with counted() as compilations:
            other = run(20, 10, 0.5, strategy)
            run(50, 7, 1.0, strategy)
        assert compilations == []
        assert not np.allclose(
            first.values["train_loss"][..., -1:], other.values["train_loss"][..., -1:]
        )
        tx = optax.chain(sgd(0.5), sgd(0.2))
        expected = by_hand(TASK, tx, jax.random.fold_in(jax.random.key(0), 0), 20)[2]
        np.testing.assert_allclose(
            other.values["train_loss"][1, 0], np.reshape(expected, (2, 10)).mean(axis=1), rtol=1e-4
        )


def test_what_is_carried_may_differ_and_is_handed_over():
    def make(number):
        carried = Carried({"x": number})
        return lambda y: carried.data["x"] + y

    one, two, whole = (Fingerprint(make(x)) for x in (1.5, 2.5, 3))
    assert one == two
    assert one != whole  # an integer is another program
    assert one.function(1.0) == 2.5
    with handing(one.carried, [c.arrays for c in two.carried]):
        assert one.function(1.0) == 3.5
