"""The table of `docs/coming_from.md`: its rows, and what their code does."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

import lropt_jax
from tests.guides import DOCS

RATE, UPDATES, COUNTS = 0.02, 12, 25
# They want more than a gradient at each update, or take minutes to compile: only made here.
# `tests/test_foreign_factories.py` trains those of Optax.
ONLY_MADE = re.compile(r"(?i)muon|sophia|dpsgd|momo|LRScheduler$|LearningRateSchedule$|Optimizer$")


class Row(NamedTuple):
    origin: str
    there: str
    here: str
    differs: str

    @property
    def code(self) -> str | None:
        """What is evaluated, or None where a row names things or says that there is no equal."""
        found = re.fullmatch(r"\[?`([^`]*)`(\]\(.*\))?", self.here)
        return found[1] if found and not re.fullmatch(r"[\w.]+", found[1]) else None

    @property
    def left(self) -> str:
        return self.there.strip("`")

    @property
    def equal(self) -> bool:
        return self.differs.startswith("Equal")

    @property
    def through_tunable(self) -> bool:
        return bool(self.code) and re.sub(r"tunable\(([\w.]+)\)", r"\1", self.code) == self.left


@functools.cache
def rows() -> list[Row]:
    text = (DOCS / "coming_from.md").read_text()
    lines = re.findall(r"^\| (PyTorch|Optax|Keras) \| (.*) \| (.*) \| (.*) \|$", text, re.M)
    return [Row(*line) for line in lines]


def of(origin: str) -> list[Row]:
    return [row for row in rows() if row.origin == origin]


def measured(origin: str, *prefixes: str) -> list[Row]:
    """The rows of classes that are run against each other."""
    return [
        row
        for row in of(origin)
        if row.left.startswith(prefixes)
        and row.code
        and not row.through_tunable
        and not ONLY_MADE.search(row.left)
        and not re.search(r"(?i)no equal|\[\{|multi_?optimizer|optimizermap|freeze", row.left)
    ]


def names(**more: Any) -> dict[str, Any]:
    public = {name: getattr(lropt_jax, name) for name in lropt_jax.__all__}
    return {**public, "optax": optax, "jax": jax, "jnp": jnp, "rate": RATE, **more}


rng = np.random.default_rng(0)
START = [rng.normal(size=(3, 4)), rng.normal(size=(2, 5))]
GOAL = [rng.normal(size=w.shape) for w in START]
NOISE = [[0.3 * rng.normal(size=w.shape) for w in START] for _ in range(UPDATES)]


def gradients(weights: list[np.ndarray], i: int) -> list[np.ndarray]:
    return [
        np.sin(2 * w) + 0.5 * (w - goal) + noise
        for w, goal, noise in zip(weights, GOAL, NOISE[i], strict=True)
    ]


def path(update: Callable[[list[np.ndarray], int], list[np.ndarray]]) -> np.ndarray:
    """Where updates lead: `update` takes gradients and gives the weights after its step."""
    weights, out = START, []
    for i in range(UPDATES):
        weights = update(gradients(weights, i), i)
        out.append(np.concatenate([np.ravel(w) for w in weights]))
    return np.stack(out)


def values(schedule: Callable[[int], Any]) -> np.ndarray:
    return np.array([float(schedule(count)) for count in range(COUNTS)])


def here(made: Any) -> np.ndarray:
    """The path of a transformation, or the values of a schedule."""
    if not isinstance(made, optax.GradientTransformation):
        return plateau(made) if "reduce_on_plateau" in repr(made) else values(made)
    weights = [jnp.array(w) for w in START]
    state = made.init(weights)

    def update(grads: list[np.ndarray], _: int) -> list[np.ndarray]:
        nonlocal weights, state
        updates, state = made.update([jnp.array(g) for g in grads], state, weights)
        weights = optax.apply_updates(weights, updates)
        return [np.array(w) for w in weights]

    return path(update)


def plateau(schedule: Any) -> np.ndarray:
    """The rates under a metric that never improves."""
    tx = lropt_jax.sgd(schedule)
    state, out = tx.init(jnp.zeros(2)), []
    for _ in range(COUNTS):
        out.append(float(lropt_jax.hyperparams(state)["learning_rate"]))
        _, state = tx.update(jnp.ones(2), state)
        state = lropt_jax.observe(state, 1.0)
    return np.array(out)


def check(row: Row, theirs: np.ndarray) -> None:
    """What is said to be equal is, and what is said to differ does."""
    assert row.code is not None
    ours = here(eval(row.code, names()))
    apart = float(np.abs(ours - theirs).max())
    assert (apart < 1e-8) == row.equal, f"{row.left} and {row.code}: {apart:.1g} apart"
