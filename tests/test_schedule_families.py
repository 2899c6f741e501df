"""An optimizer whose whole schedule is data: one program, and the line that one would write."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax
from lropt_jax import adamw, sgd, sweep
from lropt_jax.comparisons.families import (
    SCHEDULE_FAMILIES,
    Planned,
    by_number,
    of_family,
    stretched,
)
from tests.problems import regression

STEPS = 40


@pytest.mark.parametrize("warm", [0, 1, 7, 39])
@pytest.mark.parametrize("family", SCHEDULE_FAMILIES)
def test_a_family_by_its_number_is_that_by_its_name(family, warm):
    by_name = of_family(family, 0.3, STEPS, warm)
    number = float(SCHEDULE_FAMILIES.index(family))
    value = jax.jit(lambda p, w, f, t: by_number(p, STEPS, w, f)(t))
    for count in range(STEPS + 3):
        expected = np.float32(by_name(count))
        np.testing.assert_allclose(value(0.3, float(warm), number, count), expected, rtol=2e-6)


def test_the_values_are_those_of_optax():
    theirs = {
        "linear": optax.linear_schedule(0.2, 0.0, 30),
        "cosine": optax.cosine_decay_schedule(0.2, 30),
        "constant": optax.constant_schedule(0.2),
    }
    for family, after in theirs.items():
        joined = optax.join_schedules([optax.linear_schedule(0.0, 0.2, 10), after], [10])
        ours = of_family(family, 0.2, STEPS, 10)
        for count in (0, 3, 10, 25, 39):
            np.testing.assert_allclose(ours(count), joined(count), rtol=1e-5, atol=1e-9)


def test_an_unknown_family_is_refused():
    with pytest.raises(ValueError, match=r"unknown schedule family 'cosin'.*'cosine'"):
        of_family("cosin", 0.1, 10, 0)


def test_one_program_trains_all_families_and_the_line_to_paste_makes_the_same():
    planned = Planned(adamw, {})
    space = [
        {"learning_rate": 0.05, "schedule": number, "warmup_steps": warm, "total_steps": STEPS,
         "weight_decay": 0.1}
        for number, warm in enumerate((0, 5, 5, 12))
    ]  # fmt: skip
    result = sweep(regression(), planned, space, steps=STEPS, strategy="vmap", progress=False)
    assert len(result.width) == 1  # one group of trials
    for trial, configuration in enumerate(result.trials):
        line = planned.code(configuration)
        assert line.startswith("lropt_jax.adamw(")
        made = eval(line, {"lropt_jax": lropt_jax})
        fits = [
            sweep(
                regression(), lambda scale, tx=tx: optax.chain(tx, optax.scale(scale)),
                [{"scale": 1.0}], steps=STEPS, strategy="vmap", progress=False,
            )
            for tx in (made, planned.optimizer(configuration))
        ]  # fmt: skip
        for fit in fits:
            np.testing.assert_allclose(
                fit.last("valid_loss")[0], result.last("valid_loss")[trial], rtol=1e-4
            )


def test_what_is_fixed_stands_in_the_line():
    chosen = {"learning_rate": 0.1, "schedule": 2, "warmup_steps": 2, "total_steps": STEPS}
    line = Planned(sgd, {"nesterov": True}).code({**chosen, "momentum": 0.9})
    assert line == (
        "lropt_jax.sgd(lropt_jax.warmup(lropt_jax.cosine_decay(0.1, 38), 2), "
        "nesterov=True, momentum=0.9)"
    )
    longer = Planned(sgd, {}).code(stretched(chosen, 400))
    assert longer == "lropt_jax.sgd(lropt_jax.warmup(lropt_jax.cosine_decay(0.1, 380), 20))"
    assert jnp.ndim(eval(line, {"lropt_jax": lropt_jax}).init(jnp.zeros(2)).count) == 0
