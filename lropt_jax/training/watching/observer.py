"""Watches lanes: the program that looks at them, compiled once, and what comes out by name."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax

from lropt_jax.schedules.fingerprint import Fingerprint
from lropt_jax.tasks.arrays import leaf_names
from lropt_jax.tasks.examples import batch_of
from lropt_jax.tasks.task import Task
from lropt_jax.training.lanes import Lane
from lropt_jax.training.layout import Layout
from lropt_jax.training.watching.curvature import STEPS
from lropt_jax.training.watching.looking import Unwatchable, group_size, looking, numbers
from lropt_jax.training.watching.names import Watched
from lropt_jax.training.watching.objective import form_of, gradient

AT_ONCE = 2**26  # numbers that Lanczos holds for lanes at a time, where they run at once


class Observer:
    """Watches the lanes of a population.

    Args:
      task: what they train.
      optimizer: `optimizer(**numbers)` makes a lane's transformation.
      numbers_of_lane: the numbers of some lane.
      layout: how the lanes lie on the machine.
      fast: whether convolutions are rewritten.
      watched: what is watched.
    """

    def __init__(
        self,
        task: Task,
        optimizer: Fingerprint[Any],
        numbers_of_lane: Any,
        layout: Layout,
        fast: bool,
        watched: Watched,
    ):
        self._task, self._layout, self._fast, self._watched = task, layout, fast, watched
        self._optimizer, self._numbers = optimizer, numbers_of_lane
        self._loss, self._evaluate = Fingerprint(task.loss), Fingerprint(task.evaluate)
        self._form = form_of(task)

    @property
    def moves(self) -> bool:
        """Whether the parameters before the last update are needed."""
        return bool(self._watched.movements)

    @property
    def examples(self) -> int:
        """How many of the first training examples are looked at."""
        return min(self._watched.examples, self._task.num_examples["train"])

    def look(
        self, lanes: Lane, before: Any, data: Any, wanted: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The numbers of lanes by name, (width,).

        Args:
          lanes: the lanes.
          before: their parameters before the last update, or () where no movement is watched.
          data: training examples, the first ones at least.
          wanted: (width,), the lanes that are looked at; the values of the others mean nothing.
        """
        group = group_size(self._task, self._form, self.examples)
        program = _program(
            self._loss, self._evaluate, self._optimizer, self._numbers, self._form,
            dataclasses.replace(self._watched, examples=self.examples), self._task.batch_size,
            group, self._spread(lanes), self._fast,
        )  # fmt: skip
        rounds = jax.device_put(np.asarray(wanted, np.int32), self._layout.lanes)
        found = program(lanes.params, lanes.model_state, lanes.opt_state, before, data, rounds)
        return numbers(
            jax.tree.map(np.asarray, found),
            self._watched,
            leaf_names(lanes.params),
            size=group,
            looked_at=self.examples,
            examples=self._task.num_examples["train"],
        )

    def _spread(self, lanes: Lane) -> Layout:
        """The layout for this: a lane's work is large, and so is what Lanczos holds of it."""
        devices = self._layout.devices
        width = len(lanes.step) // len(devices)
        size = sum(x[0].size for x in jax.tree.leaves(lanes.params))
        most = 1 if devices[0].platform == "cpu" else AT_ONCE // max(1, STEPS * size)
        at_once = "vmap" if width <= max(1, most) else f"map:{max(1, most)}"
        return dataclasses.replace(self._layout, strategy=at_once)


@functools.lru_cache(128)
def _program(
    loss: Fingerprint[Any], evaluate: Fingerprint[Any], optimizer: Fingerprint[Any],
    numbers_of_lane: Any, form: str, watched: Watched, batch_size: int, group: int,
    layout: Layout, fast: bool,
) -> Any:  # fmt: skip
    slope = gradient(loss.function, evaluate.function, form, fast)
    tx = optimizer.function(**numbers_of_lane)
    look = looking(slope, tx, watched, batch_size, group, fast)
    axes = (True, True, True, True, False, True)
    return layout.compiled(layout.over_lanes(layout.resting(look), axes), axes)


def check_watched(
    task: Task,
    optimizer: Callable[..., optax.GradientTransformation],
    numbers_of_lane: Mapping[str, Any],
    watched: Watched,
) -> list[str]:
    """The names of what will be seen; found on shapes, nothing is computed.

    Raises:
      ValueError: for something that cannot be watched of this optimizer or model.
    """
    if not watched.names:
        return []
    tx, form = optimizer(**numbers_of_lane), form_of(task)
    params, model_state = jax.eval_shape(task.init, jax.random.key(0))
    state = jax.eval_shape(tx.init, params)
    seen = min(watched.examples, task.num_examples["train"])
    group = group_size(task, form, seen)
    slope = gradient(task.loss, task.evaluate, form, fast=False)
    look = looking(slope, tx, watched, task.batch_size, group, fast=False)
    try:
        found = jax.eval_shape(look, params, model_state, state, params, batch_of(task.train, seen))
    except Unwatchable:
        raise
    except Exception as error:
        raise ValueError(
            f"watch: {', '.join(watched.names)} cannot be computed of this model: "
            f"{type(error).__name__}: {error}"
        ) from error
    ones = jax.tree.map(lambda s: np.ones((1, *s.shape), s.dtype), found)
    return list(
        numbers(ones, watched, leaf_names(params), size=group, looked_at=seen, examples=seen)
    )
