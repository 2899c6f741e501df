"""Lanes of a fixed width through the one segment: the unit of execution.

A population is one compiled program. Its lanes train side by side, on one device by `vmap` or
one after another (`map`), over several devices by `shard_map`; no lane ever reads another, so
one that diverges leaves its neighbours bit-identical.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from lropt_jax.hyperparameters import observe
from lropt_jax.segment import BatchOrder, Feed, Lane, evaluation, segment, start_lane
from lropt_jax.task import Task

AXIS = "lanes"


class Population:
    """The compiled programs of lanes that share a task and an optimizer.

    Args:
      task: what they train.
      tx: the transformation that updates them; numbers that differ between lanes live in its
        state.
      make_tx: `make_tx(**numbers)`, the transformation of one lane, used to start it; by
        default `tx` itself, without numbers.
      strategy: "vmap" (all of a device's lanes at once), "map" (one after another), or
        "map:k" (blocks of k lanes at once). One lane alone runs as it is.
      devices: the devices to spread over; the width must be a multiple of their number.
    """

    def __init__(
        self,
        task: Task,
        tx: optax.GradientTransformation,
        make_tx: Callable[..., optax.GradientTransformation] | None = None,
        strategy: str = "vmap",
        devices: Sequence[Any] | None = None,
    ):
        self.task = task
        self.devices = tuple(devices or jax.local_devices()[:1])
        self.strategy = strategy
        mesh = jax.make_mesh(
            (len(self.devices),),
            (AXIS,),
            devices=self.devices,
            axis_types=(jax.sharding.AxisType.Auto,),
        )
        self._lanes = NamedSharding(mesh, PartitionSpec(AXIS))
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        self._splits: dict[str, Any] = {}
        make = make_tx or (lambda: tx)

        def start(key: jax.Array, numbers: dict[str, Any]) -> Lane:
            return start_lane(task, make(**numbers), key)

        lanes, shared = PartitionSpec(AXIS), PartitionSpec()
        self._start = self._compile(jax.vmap(start), (lanes, lanes), lanes)
        run = self._over_lanes(segment(task, tx), (0, 0, None, None))
        self._run = self._compile(run, (lanes, lanes, shared, shared), lanes, donate=(0,))
        self._observe = self._compile(jax.vmap(_observe), (lanes, lanes), lanes, donate=(0,))
        evaluate = self._over_lanes(evaluation(task), (0, 0, None))
        self._evaluate = self._compile(evaluate, (lanes, lanes, shared), lanes)

    def start(self, keys: jax.Array, numbers: dict[str, Any]) -> Lane:
        """Lanes before their first update: one key, and one of each number, a lane."""
        return self._start(*jax.device_put((keys, numbers), self._lanes))

    def run(self, lanes: Lane, feed: Feed, updates: int) -> tuple[Lane, dict[str, jax.Array]]:
        """Trains all lanes by so many updates. The lanes given are donated: use the new ones."""
        feed = jax.device_put(feed, self._lanes)
        return self._run(lanes, feed, self.split("train"), np.int32(updates))

    def evaluate(self, lanes: Lane, split: str) -> dict[str, jax.Array]:
        """The means of the task's metrics over a split, named `<split>_<metric>`, (width,)."""
        values = self._evaluate(lanes.params, lanes.model_state, self.split(split))
        return {f"{split}_{name}": value for name, value in values.items()}

    def split(self, name: str) -> Any:
        """A split of the data, on every device once."""
        if name not in self._splits:
            self._splits[name] = jax.device_put(getattr(self.task, name), self._everywhere)
        return self._splits[name]

    def orders(self, lanes: Lane) -> list[BatchOrder]:
        """The order of batches of each lane."""
        examples = len(jax.tree.leaves(self.task.train)[0])
        words = np.asarray(jax.random.key_data(lanes.key))
        return [BatchOrder(w, examples, self.task.batch_size) for w in words]

    def observe(self, lanes: Lane, values: jax.Array) -> Lane:
        """Shows each lane's schedules a value, (width,)."""
        return self._observe(lanes, values)

    def _compile(self, function: Any, inputs: Any, outputs: Any, donate: Any = ()) -> Any:
        if len(self.devices) > 1:
            function = jax.shard_map(
                function,
                mesh=self._lanes.mesh,
                in_specs=inputs,
                out_specs=outputs,
                check_vma=False,
            )
        return jax.jit(function, donate_argnums=donate)

    def _over_lanes(self, function: Any, axes: tuple[int | None, ...]) -> Any:
        """`function` of one lane as a function of a device's lanes."""

        def over(*arguments: Any) -> Any:
            mapped = tuple(a for a, axis in zip(arguments, axes, strict=True) if axis == 0)
            shared = tuple(a for a, axis in zip(arguments, axes, strict=True) if axis is None)
            width = len(jax.tree.leaves(mapped)[0])
            one = functools.partial(_call, function, shared)
            if width == 1:
                return jax.tree.map(lambda x: x[None], one(jax.tree.map(lambda x: x[0], mapped)))
            if self.strategy == "vmap":
                return jax.vmap(one)(mapped)
            block = int(self.strategy.partition(":")[2] or 1)
            return jax.lax.map(one, mapped, batch_size=block if block > 1 else None)

        return over


def _observe(lane: Lane, value: jax.Array) -> Lane:
    return lane._replace(opt_state=observe(lane.opt_state, value))


def _call(function: Callable[..., Any], shared: tuple[Any, ...], mapped: tuple[Any, ...]) -> Any:
    return function(*mapped, *shared)
