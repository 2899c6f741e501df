"""`Task`: a training problem as pure functions and arrays, whatever the model's library."""

from __future__ import annotations

import copy
import dataclasses
import operator
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.progress import several, shown
from lropt_jax.tasks.arrays import shape_of, shapes
from lropt_jax.tasks.examples import (
    batch_of,
    check_same_examples,
    examples_of,
    in_words,
    number_of_examples,
    split_of,
)
from lropt_jax.validation import installed

SPLITS = ("train", "valid", "test")
FUNCTIONS = ("init", "loss", "evaluate", "summarize", "predict")


@shown
@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    r"""A training problem: three pure functions and the data they are for.

    Training minimises the mean of $\ell(\theta; B)$ over minibatches $B$ of `train`; the `valid`
    and `test` splits are only ever evaluated. The functions must be pure JAX: they are traced,
    vmapped over `params`, `model_state` and `key`, and run in loops.

    When to use:
      For a loss, a model or an evaluation that no adapter has. Start with
      `classification_task` or `regression_task`, and come here when they refuse. Its
      functions are traced: no Python side effects.

    Args:
      init: `init(key) -> (params, model_state)`. `model_state` is whatever the model carries
        from step to step that no gradient reaches (batch-norm statistics), `{}` for most.
      loss: `loss(params, model_state, batch, key) -> (loss, (model_state, metrics))`, the scalar
        to be minimised, the state after the step, and a dict of further numbers (may be `{}`;
        none of them named "loss").
        All randomness, of dropout for example, comes from `key`.
      evaluate: `evaluate(params, model_state, batch) -> dict` of arrays of shape (batch,), one
        number per example; the loops average them over a split. Under a name that begins with
        "_", which is for `summarize` alone, they may have further axes.
      train: a pytree of arrays with one leading axis of examples. Arrays that are no NumPy's or
        JAX's (tensors on the host, pandas' frames) are turned into NumPy's. What does not fit
        into memory stays where it is and is read while the devices train: a tree with a
        `numpy.memmap` in it, or anything with a length that gives examples by their numbers
        (`source[numpy.array([3, 5])]` or `source[3]`): grain's sources, Hugging Face's data sets,
        map-style ones of torch. Examples come in the same order as from arrays.
      valid: the same for validation, or None.
      test: the same for testing, or None.
      batch_size: examples in a step's batch; an epoch has `N // batch_size` steps, its last
        partial batch is dropped.
      summarize: `summarize(means) -> dict` of further metrics of a split, from the means of
        `evaluate`'s arrays over all of it: a perplexity is the exponential of the mean loss,
        not the mean of exponentials. Names that begin with "_" are not shown. What needs all
        predictions at once (the area under a ROC curve) cannot be had this way.
      predict: `predict(params, model_state, x) -> outputs`, the model's for inputs `x`; None
        where there is no such thing.

    Raises:
      ValueError: for an empty split, a loader or an iterator, which decides the order itself,
        arrays that hold no numbers or numbers that 32 bits cannot,
        arrays that disagree in their number of examples, splits that disagree in structure or
        shape, or a batch size that does not fit.
      TypeError: for functions that are not callable.

    See also:
      `classification_task`, `regression_task`, `language_model_task`.

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

      Its root mean square error, too.

      >>> import dataclasses
      >>> task = dataclasses.replace(
      ...     task, summarize=lambda means: {"rmse": jnp.sqrt(means["loss"])}
      ... )
      >>> task.metric_names
      ['loss', 'rmse']

      Data of any size, in a file.

      >>> import pathlib, tempfile
      >>> import numpy as np
      >>> from lropt_jax import fit, sgd
      >>> folder = tempfile.TemporaryDirectory()
      >>> path = pathlib.Path(folder.name) / "inputs"
      >>> np.ones((10, 3), np.float32).tofile(path)
      >>> inputs = np.memmap(path, np.float32, mode="r").reshape(-1, 3)
      >>> task = dataclasses.replace(task, train={"x": inputs, "y": np.ones(10)})
      >>> bool(fit(task, sgd(0.1), steps=50).history["train_loss"][-1] < 0.1)
      True
      >>> folder.cleanup()
    """

    init: Callable[[Any], tuple[Any, Any]]
    loss: Callable[[Any, Any, Any, Any], tuple[Any, tuple[Any, Any]]]
    evaluate: Callable[[Any, Any, Any], Mapping[str, Any]]
    train: Any
    valid: Any = None
    test: Any = None
    batch_size: int = 128
    summarize: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None
    predict: Callable[[Any, Any, Any], Any] | None = None

    def __post_init__(self) -> None:
        for name in FUNCTIONS:
            function = getattr(self, name)
            optional = name in ("summarize", "predict")
            if not (callable(function) or (optional and function is None)):
                raise TypeError(f"{name} must be a function, got {function!r}")
        if self.train is None:
            raise ValueError("train must be a pytree of arrays with examples, got None")
        for name, split in self.splits.items():
            object.__setattr__(self, name, split_of(name, split))
        for name, split in self.splits.items():
            check_same_examples(name, split, self.train)
        object.__setattr__(self, "batch_size", _whole_number(self.batch_size))
        examples = self.num_examples["train"]
        if not 1 <= self.batch_size <= examples:
            raise ValueError(
                f"batch_size must be between 1 and the {examples} training examples, "
                f"got {self.batch_size}"
            )

    def __getstate__(self) -> dict[str, Any]:
        """With its functions by value where that can be: pickle itself takes few that are used."""
        state = dict(vars(self))
        if installed("cloudpickle"):
            import cloudpickle

            state["functions"] = cloudpickle.dumps({name: state.pop(name) for name in FUNCTIONS})
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        functions = pickle.loads(state["functions"]) if "functions" in state else {}
        vars(self).update({k: v for k, v in state.items() if k != "functions"}, **functions)

    def __copy__(self) -> Task:
        return dataclasses.replace(self)

    def __deepcopy__(self, memo: Any) -> Task:
        """Of the data: what has been compiled for its functions serves the copy."""
        return dataclasses.replace(self, **copy.deepcopy(self.splits, memo))

    def _about(self) -> tuple[str, dict[str, str]]:
        updates = (
            f"batches of {self.batch_size:,}, {several(self.steps_per_epoch, 'update')} an epoch"
        )
        return f"Task of {in_words(self.splits)}, {updates}", {
            "an example": examples_of(self.train)
        }

    @property
    def splits(self) -> dict[str, Any]:
        """The splits that there are, by name, in the order train, valid, test."""
        return {name: getattr(self, name) for name in SPLITS if getattr(self, name) is not None}

    @property
    def num_examples(self) -> dict[str, int]:
        """The number of examples in each split that there is."""
        return {name: number_of_examples(split) for name, split in self.splits.items()}

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in the training set."""
        return self.num_examples["train"] // self.batch_size

    @property
    def metric_names(self) -> list[str]:
        """The metrics of a split, without its prefix; found on shapes, nothing is computed."""

        def metrics(key: Any, batch: Any) -> Any:
            params, model_state = self.init(key)
            found = self.evaluate(params, model_state, batch)
            means = {k: v.astype(float).mean(0) for k, v in found.items()}
            return summarized(means, self.summarize)

        return list(jax.eval_shape(metrics, jax.random.key(0), batch_of(self.train, 1)))


def summarized(
    means: Mapping[str, Any], summarize: Callable[[dict[str, Any]], Mapping[str, Any]] | None
) -> dict[str, Any]:
    """The metrics that are shown of a split.

    Args:
      means: of `evaluate`'s arrays over the whole split.
      summarize: as in `Task`.
    """
    further = {} if summarize is None else summarize(dict(means))
    return {k: v for k, v in {**means, **further}.items() if not k.startswith("_")}


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
    batch = batch_of(task.train, task.batch_size)
    made = _abstract("init", "a key", task.init, key)
    if not (isinstance(made, tuple) and len(made) == 2):
        raise ValueError(f"init must return (params, model_state), got {shapes(made)}")
    params, state = made
    given = f"a batch of {shapes(batch)}"
    _check_loss(_abstract("loss", given, task.loss, params, state, batch, key), state)
    metrics = _abstract("evaluate", given, task.evaluate, params, state, batch)
    _check_evaluation(metrics, task.batch_size)
    _check_summary(task.summarize, metrics)


def _check_loss(result: Any, state: Any) -> None:
    try:
        loss, (new_state, metrics) = result
    except (TypeError, ValueError):
        raise ValueError(
            f"loss must return (loss, (model_state, metrics)), got {shapes(result)}"
        ) from None
    if getattr(loss, "shape", None) != () or not jnp.issubdtype(loss.dtype, jnp.floating):
        raise ValueError(f"loss must return a real scalar first, got {shapes(loss)}")
    old, new = shapes(state), shapes(new_state)
    same_tree = jax.tree.structure(state) == jax.tree.structure(new_state)  # type: ignore[operator]
    if not same_tree or old != new:
        raise ValueError(
            "loss must return a model_state of the structure, shapes and dtypes that init made: "
            f"init made {old}, loss returned {new}"
        )
    if not isinstance(metrics, Mapping):
        raise ValueError(f"loss must return a dict of metrics last, got {shapes(metrics)}")
    for name, value in metrics.items():
        if name == "loss":
            raise ValueError(
                "loss must not return a metric named 'loss': train_loss is what it returns first. "
                "Give it another name ('data_loss')"
            )
        if not isinstance(name, str) or np.shape(value) != () or not _is_real(value):
            raise ValueError(
                f"loss must return one real number under each metric's name: {name!r} is "
                f"{shapes(value)}"
            )


def _is_real(value: Any) -> bool:
    kinds = (jnp.floating, jnp.integer, jnp.bool_)
    return any(jnp.issubdtype(jnp.result_type(value), kind) for kind in kinds)


def _check_evaluation(metrics: Any, batch_size: int) -> None:
    if not isinstance(metrics, Mapping) or not metrics:
        raise ValueError(f"evaluate must return a dict of arrays, got {shapes(metrics)}")
    for name, value in metrics.items():
        shape = getattr(value, "shape", ())
        hidden = isinstance(name, str) and name.startswith("_")
        fits = (shape[:1] if hidden else shape) == (batch_size,) and _is_real(value)
        if not isinstance(name, str) or not fits:
            raise ValueError(
                f"evaluate must return one number per example under each name: {name!r} must have "
                f"shape ({batch_size},), got {shapes(value)}"
            )


def _check_summary(summarize: Callable[..., Any] | None, metrics: Mapping[str, Any]) -> None:
    # Means are of the default float type, whatever they are of.
    means = {name: shape_of(value.shape[1:], float) for name, value in metrics.items()}
    further: Any = {}
    if summarize is not None:
        further = _abstract("summarize", f"means {shapes(means)}", summarize, means)
        if not isinstance(further, Mapping):
            raise ValueError(f"summarize must return a dict of metrics, got {shapes(further)}")
    for name, value in further.items():
        if name in means:
            raise ValueError(f"summarize must not return {name!r}, which evaluate returns too")
        if not isinstance(name, str) or np.shape(value) != () or not _is_real(value):
            raise ValueError(
                "summarize must return one real number under each metric's name: "
                f"{name!r} is {shapes(value)}"
            )
    if all(name.startswith("_") for name in (*means, *further)):
        raise ValueError(
            'evaluate or summarize must return a metric whose name does not begin with "_", '
            f"got {', '.join(means)}"
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
