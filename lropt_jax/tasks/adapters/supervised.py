"""A task of a model, inputs and targets: what all the ready tasks share.

They differ in an `Objective`, which says what is minimised and what is measured.
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.tasks.adapters.base import Network
from lropt_jax.tasks.adapters.precision import in_precision
from lropt_jax.tasks.adapters.registry import adapt
from lropt_jax.tasks.arrays import check_examples, shapes
from lropt_jax.tasks.data.splits import splits_of
from lropt_jax.tasks.examples import batch_of, split_of
from lropt_jax.tasks.sources import Source, is_hosted
from lropt_jax.tasks.task import Task

Splits = dict[str, Any]
Augment = Callable[[Any, Any], Any]


class Objective(Protocol):
    """What is minimised and what is measured, of outputs and targets. Compares by value."""

    def loss(self, outputs: jax.Array, targets: jax.Array) -> jax.Array:
        """The loss of a batch, a scalar."""

    def metrics(self, outputs: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
        """As `evaluate` of a `Task`."""

    def check(self, name: str, targets: Any, outputs: tuple[int, ...]) -> None:
        """Raises `ValueError` for targets of a split that the outputs do not fit."""

    @property
    def summarize(self) -> Callable[[dict[str, Any]], Mapping[str, Any]] | None:
        """As in a `Task`."""


def supervised_task(
    model: Any,
    data: Any,
    objective: Callable[[tuple[int, ...], Splits], tuple[Objective, Splits]],
    batch_size: int,
    augment: Augment | None = None,
    dtype: Any = None,
) -> Task:
    """A `Task` of a model of any known library.

    Args:
      model: see `adapt`.
      data: see `splits_of`.
      objective: from the shape of the outputs for a batch of one example, and the splits that
        there are: the objective, and the splits as it takes them. Raises `ValueError` where they
        do not fit each other.
      batch_size, augment, dtype: as in `classification_task`.
    """
    network = in_precision(adapt(model), dtype)
    given = {name: split for name, split in splits_of(data).items() if split is not None}
    splits = {n: split_of(n, s) if is_hosted(s) else s for n, s in given.items()}
    for name, split in splits.items():
        if not isinstance(split, Source):
            check_examples(name, split)
            _say_gaps(name, split["x"])
    example = batch_of(splits["train"], 1)["x"]
    looked = {n: s.some() if isinstance(s, Source) else s for n, s in splits.items()}
    outputs = _output_shape(network, example)
    chosen, fitted = objective(outputs, looked)
    for name, split in splits.items():
        if isinstance(split, Source):
            split.check = functools.partial(_check_targets, chosen, name, outputs)
    splits = {n: s if isinstance(s, Source) else fitted[n] for n, s in splits.items()}
    task = Task(
        init=_Init(network, _Example.of(example)),
        loss=_Loss(network, chosen, augment),
        evaluate=_Evaluate(network, chosen),
        train=splits["train"],
        valid=splits.get("valid"),
        test=splits.get("test"),
        batch_size=batch_size,
        summarize=chosen.summarize,
        predict=_Predict(network),
    )
    if augment is not None:
        _check_augment(augment, task)
    return task


def _say_gaps(name: str, x: Any) -> None:
    """Warns of inputs that are not finite: a model may fill them in, most do not."""
    for leaf in jax.tree.leaves(x):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            bad = int((~np.isfinite(np.asarray(leaf))).sum())
            if bad:
                warnings.warn(
                    f"x of {name} must be finite, {bad:,} of its {leaf.size:,} values are not: "
                    "unless the model fills them in, no loss will be",
                    UserWarning,
                    stacklevel=4,
                )


def _check_targets(
    objective: Objective, name: str, outputs: tuple[int, ...], examples: Any
) -> None:
    objective.check(name, examples["y"], outputs)


@dataclasses.dataclass(frozen=True)
class _Example:
    """The shapes and dtypes of inputs, as a value that can be compared."""

    leaves: tuple[tuple[tuple[int, ...], str], ...]
    structure: Any

    @classmethod
    def of(cls, abstract: Any) -> _Example:
        leaves, structure = jax.tree.flatten(abstract)
        return cls(tuple((x.shape, x.dtype.name) for x in leaves), structure)

    def zeros(self) -> Any:
        return jax.tree.unflatten(self.structure, [jnp.zeros(*leaf) for leaf in self.leaves])


@dataclasses.dataclass(frozen=True)
class _Init:
    network: Network
    example: _Example

    def __call__(self, key: jax.Array) -> tuple[Any, Any]:
        return self.network.init(_typed(key), self.example.zeros())


@dataclasses.dataclass(frozen=True)
class _Loss:
    network: Network
    objective: Objective
    augment: Augment | None

    def __call__(
        self, params: Any, model_state: Any, batch: Any, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, dict[str, Any]]]:
        key = _typed(key)
        if self.augment is not None:
            key, drawn = jax.random.split(key)
            batch = self.augment(batch, drawn)
        outputs, model_state = self.network.apply(params, model_state, batch["x"], key)
        return self.objective.loss(outputs, batch["y"]), (model_state, {})


@dataclasses.dataclass(frozen=True)
class _Evaluate:
    network: Network
    objective: Objective

    def __call__(self, params: Any, model_state: Any, batch: Any) -> dict[str, jax.Array]:
        outputs, _ = self.network.apply(params, model_state, batch["x"], None)
        return self.objective.metrics(outputs, batch["y"])


@dataclasses.dataclass(frozen=True)
class _Predict:
    network: Network

    def __call__(self, params: Any, model_state: Any, x: Any) -> jax.Array:
        return self.network.apply(params, model_state, x, None)[0]

    def variables(self, params: Any, model_state: Any) -> Any:
        """What the model's own library calls a trained model."""
        return self.network.variables(params, model_state)


def _typed(key: Any) -> Any:
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    return jax.random.wrap_key_data(key)


def _output_shape(network: Network, example: Any) -> tuple[int, ...]:
    def outputs(key: jax.Array, x: Any) -> Any:
        params, state = network.init(key, x)
        return network.apply(params, state, x, None)[0]

    shape = jax.tree.map(lambda x: x.shape, example)
    try:
        out = jax.eval_shape(outputs, jax.random.key(0), example)
    except Exception as error:
        raise ValueError(f"the model fails on inputs of shape {shape}: {error}") from error
    if getattr(out, "shape", None) is None or out.shape[:1] != (1,):
        raise ValueError(
            "the model must return one array with the examples along its first axis; for inputs "
            f"of shape {shape} it returned {shapes(out)}"
        )
    return tuple(out.shape)


def _check_augment(augment: Augment, task: Task) -> None:
    if not callable(augment):
        raise TypeError(f"augment must be a function (batch, key) -> batch, got {augment!r}")
    batch = batch_of(task.train, task.batch_size)
    try:
        made = jax.eval_shape(augment, batch, jax.random.key(0))
    except Exception as error:
        raise ValueError(
            f"augment fails on a batch of {shapes(batch)} and a key: {error}"
        ) from error
    if not isinstance(made, Mapping) or set(made) != {"x", "y"}:
        raise ValueError(f'augment must return a batch, a dict of "x" and "y", got {shapes(made)}')
