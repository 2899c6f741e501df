"""`Task`: a training problem as pure functions and arrays, whatever the model's library."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    r"""A training problem: three pure functions and the data they are for.

    Training minimises the mean of $\ell(\theta; B)$ over minibatches $B$ of `train`; the `valid`
    and `test` splits are only ever evaluated. The functions must be pure JAX: they are traced,
    vmapped over `params`, `model_state` and `key`, and run in loops.

    Args:
      init: `init(key) -> (params, model_state)`. `model_state` is whatever the model carries
        from step to step that no gradient reaches (batch-norm statistics), `{}` for most.
      loss: `loss(params, model_state, batch, key) -> (loss, (model_state, metrics))`, the scalar
        to be minimised, the state after the step, and a dict of further numbers (may be `{}`;
        none of them named "loss").
        All randomness, of dropout for example, comes from `key`.
      evaluate: `evaluate(params, model_state, batch) -> dict` of arrays of shape (batch,), one
        number per example; the loops average them over a split.
      train: a pytree of arrays with one leading axis of examples.
      valid: the same for validation, or None.
      test: the same for testing, or None.
      batch_size: examples in a step's batch; an epoch has `N // batch_size` steps, its last
        partial batch is dropped.

    Raises:
      ValueError: for an empty split, arrays that disagree in their number of examples, splits
        that disagree in structure or shape, or a batch size that does not fit.
      TypeError: for functions that are not callable.

    Example:
      Least squares.

      >>> import jax.numpy as jnp
      >>> from lropt_jax import Task
      >>> def error(w, batch):
      ...     return (batch["x"] @ w - batch["y"]) ** 2
      >>> task = Task(
      ...     init=lambda key: (jnp.zeros(3), {}),
      ...     loss=lambda w, state, batch, key: (error(w, batch).mean(), (state, {})),
      ...     evaluate=lambda w, state, batch: {"loss": error(w, batch)},
      ...     train={"x": jnp.ones((10, 3)), "y": jnp.ones(10)},
      ...     batch_size=4,
      ... )
      >>> task.num_examples, task.steps_per_epoch
      ({'train': 10}, 2)
    """

    init: Callable[[Any], tuple[Any, Any]]
    loss: Callable[[Any, Any, Any, Any], tuple[Any, tuple[Any, Any]]]
    evaluate: Callable[[Any, Any, Any], Mapping[str, Any]]
    train: Any
    valid: Any = None
    test: Any = None
    batch_size: int = 128

    def __post_init__(self) -> None:
        for name in ("init", "loss", "evaluate"):
            if not callable(getattr(self, name)):
                raise TypeError(f"{name} must be a function, got {getattr(self, name)!r}")
        if self.train is None:
            raise ValueError("train must be a pytree of arrays with examples, got None")
        sizes = {name: _leading_axis(name, split) for name, split in self.splits.items()}
        for name in self.splits:
            _check_same_examples(name, self.splits[name], self.train)
        object.__setattr__(self, "batch_size", _whole_number(self.batch_size))
        if not 1 <= self.batch_size <= sizes["train"]:
            raise ValueError(
                f"batch_size must be between 1 and the {sizes['train']} training examples, "
                f"got {self.batch_size}"
            )

    @property
    def splits(self) -> dict[str, Any]:
        """The splits that there are, by name, in the order train, valid, test."""
        return {name: getattr(self, name) for name in SPLITS if getattr(self, name) is not None}

    @property
    def num_examples(self) -> dict[str, int]:
        """The number of examples in each split that there is."""
        return {name: _leading_axis(name, split) for name, split in self.splits.items()}

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in the training set."""
        return self.num_examples["train"] // self.batch_size


def check_task(task: Task) -> None:
    """Checks, on shapes alone, that a task's functions fit its data and each other.

    Nothing is computed or compiled.

    Args:
      task: the task.

    Raises:
      ValueError: naming the function, the shapes it was given and what it should return; the
        function's own exception, if it raised one, is the cause.
    """
    key = jax.random.key(0)
    batch = jax.tree.map(
        lambda x: shape_of((task.batch_size, *x.shape[1:]), x.dtype),
        task.train,
    )
    made = _abstract("init", "a key", task.init, key)
    if not (isinstance(made, tuple) and len(made) == 2):
        raise ValueError(f"init must return (params, model_state), got {_shapes(made)}")
    params, state = made
    given = f"a batch of {_shapes(batch)}"
    _check_loss(_abstract("loss", given, task.loss, params, state, batch, key), state)
    metrics = _abstract("evaluate", given, task.evaluate, params, state, batch)
    _check_evaluation(metrics, task.batch_size)


def _check_loss(result: Any, state: Any) -> None:
    try:
        loss, (new_state, metrics) = result
    except (TypeError, ValueError):
        raise ValueError(
            f"loss must return (loss, (model_state, metrics)), got {_shapes(result)}"
        ) from None
    if getattr(loss, "shape", None) != () or not jnp.issubdtype(loss.dtype, jnp.floating):
        raise ValueError(f"loss must return a real scalar first, got {_shapes(loss)}")
    old, new = _shapes(state), _shapes(new_state)
    same_tree = jax.tree.structure(state) == jax.tree.structure(new_state)  # type: ignore[operator]
    if not same_tree or old != new:
        raise ValueError(
            "loss must return a model_state of the structure, shapes and dtypes that init made: "
            f"init made {old}, loss returned {new}"
        )
    if not isinstance(metrics, Mapping):
        raise ValueError(f"loss must return a dict of metrics last, got {_shapes(metrics)}")
    for name, value in metrics.items():
        if name == "loss":
            raise ValueError(
                "loss must not return a metric named 'loss': train_loss is what it returns first. "
                "Give it another name ('data_loss')"
            )
        if not isinstance(name, str) or np.shape(value) != () or not _is_real(value):
            raise ValueError(
                f"loss must return one real number under each metric's name: {name!r} is "
                f"{_shapes(value)}"
            )


def _is_real(value: Any) -> bool:
    kinds = (jnp.floating, jnp.integer, jnp.bool_)
    return any(jnp.issubdtype(jnp.result_type(value), kind) for kind in kinds)


def _check_evaluation(metrics: Any, batch_size: int) -> None:
    if not isinstance(metrics, Mapping) or not metrics:
        raise ValueError(f"evaluate must return a dict of arrays, got {_shapes(metrics)}")
    for name, value in metrics.items():
        fits = getattr(value, "shape", None) == (batch_size,) and _is_real(value)
        if not isinstance(name, str) or not fits:
            raise ValueError(
                f"evaluate must return one number per example under each name: {name!r} must have "
                f"shape ({batch_size},), got {_shapes(value)}"
            )


def _abstract(name: str, given: str, function: Callable[..., Any], *args: Any) -> Any:
    try:
        return jax.eval_shape(function, *args)
    except Exception as error:
        raise ValueError(f"{name} failed on {given}: {error}") from error


def _whole_number(batch_size: Any) -> int:
    try:
        if isinstance(batch_size, bool):
            raise TypeError
        return operator.index(batch_size)
    except TypeError:
        raise ValueError(f"batch_size must be a whole number, got {batch_size!r}") from None


def _leading_axis(name: str, split: Any) -> int:
    leaves = jax.tree.leaves(split)
    if not leaves:
        raise ValueError(f"{name} holds no arrays, got {split!r}")
    if not all(np.ndim(x) and hasattr(x, "dtype") for x in leaves):
        raise ValueError(
            f"{name} must be a pytree of arrays with a leading axis of examples, "
            f"got {_shapes(split)}"
        )
    sizes = {len(x) for x in leaves}
    if len(sizes) > 1:
        raise ValueError(
            f"the arrays of {name} must have the same number of examples, got {_shapes(split)}"
        )
    if sizes == {0}:
        raise ValueError(f"{name} is empty: it must hold at least one example")
    return int(sizes.pop())


def _check_same_examples(name: str, split: Any, train: Any) -> None:
    """An example of a split must look like an example of the training set."""

    def example(x: Any) -> str:
        return f"{_jax_dtype(x.dtype)}[{','.join(map(str, x.shape[1:]))}]"

    ours, theirs = jax.tree.map(example, split), jax.tree.map(example, train)
    if ours != theirs:
        raise ValueError(
            f"an example of {name} must have the structure, shapes and dtypes of one of train: "
            f"{ours} against {theirs}"
        )


def shape_of(shape: tuple[int, ...], dtype: Any) -> Any:
    """An abstract array, of the dtype that JAX gives to data of `dtype`."""
    return jax.ShapeDtypeStruct(shape, _jax_dtype(dtype))  # type: ignore[no-untyped-call]


def _jax_dtype(dtype: Any) -> Any:
    return jnp.dtype(jax.dtypes.canonicalize_dtype(dtype))


def _shapes(tree: Any) -> Any:
    """A tree's shapes and dtypes, for error messages and for comparing."""

    def describe(x: Any) -> str:
        if not hasattr(x, "shape"):
            return repr(x)
        return f"{x.dtype}[{','.join(map(str, x.shape))}]"

    return jax.tree.map(describe, tree)
