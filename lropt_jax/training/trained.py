"""What a training leaves in your hands: a `Fit`, to evaluate, ask, look at, save and load."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.hyperparameters.evaluation import evaluation_params
from lropt_jax.tasks.arrays import as_array
from lropt_jax.tasks.task import Task
from lropt_jax.training.checkpoints import Checkpoints
from lropt_jax.training.event_files import Logged, write_events
from lropt_jax.training.lanes import Lane
from lropt_jax.training.layout import Layout
from lropt_jax.training.moments import Moment, numbers_of
from lropt_jax.training.population import Population
from lropt_jax.training.segment import EVALUATION_CHUNK
from lropt_jax.training.watching.names import OBSERVABLES
from lropt_jax.validation import check_name, require

SAVED = {"what": "a trained model"}


@dataclasses.dataclass(eq=False, repr=False)
class Fit(Moment):
    """What `fit` returns: the last `Moment`, or the best one, and what one does with it.

    It has what a `Moment` has: `metrics`, `params`, `opt_state`, `history` and so on.

    `.evaluate("test")` gives the metrics of a whole split, `.predict(x)` the model's output in
    batches, `.plot()` the curves, `.variables` what the model's `apply` takes; `.save(folder)`
    writes all of it.

    Attributes:
      best_step: after how many updates the best evaluation was; None where nobody asked.

    See also:
      `fit`, `load_fit`, `train`.

    Example:
      >>> from lropt_jax import adam, classification_task, fit, load_data, mlp
      >>> task = classification_task(mlp((8, 10)), load_data("digits"))
      >>> model = fit(task, adam(0.01), epochs=2, eval_every="epoch", keep="best")
      >>> model.predict(task.test["x"][:2]).shape, sorted(model.evaluate("test"))
      ((2, 10), ['accuracy', 'loss'])
    """

    best_step: int | None = None

    @classmethod
    def of(cls, lane: Lane, history: dict[str, np.ndarray], task: Task) -> Fit:
        """A `lane` of the `task` that has been trained, with the `history` of its metrics."""
        prefixes = ("train", "valid", "test")
        seen = [n for n in history if n.split("_")[0] in prefixes or n in OBSERVABLES]
        return cls(
            int(lane.step),
            {name: float(history[name][-1]) for name in seen},
            lane.params,
            lane.model_state,
            lane.opt_state,
            history,
            lane.key,
            task,
        )

    def evaluate(self, split: str) -> dict[str, float]:
        """The task's metrics over a whole split, by their own names.

        Args:
          split: "train", "valid" or "test".

        Raises:
          ValueError: for a split that the task does not have.
        """
        check_name("split", split, self.task.splits)
        layout = Layout("vmap", tuple(jax.local_devices()[:1]))
        lanes = jax.tree.map(lambda x: jnp.asarray(x)[None], self.lane)
        lanes = jax.device_put(lanes, layout.lanes)
        found = Population(self.task, optax.identity, {}, layout).evaluate(lanes, split)
        return {name.removeprefix(f"{split}_"): float(v[0]) for name, v in found.items()}

    def predict(self, x: Any) -> Any:
        """The model's output for inputs, in batches: of a classifier the logits.

        Args:
          x: inputs with a leading axis of examples.

        Raises:
          ValueError: where the task has no `predict`, and for inputs of another shape than those
            of training.
        """
        if self.task.predict is None:
            raise ValueError(
                "this task has no predict: give Task(..., predict=lambda params, model_state, x: "
                "...), the model's output for inputs x"
            )
        x = self._inputs(x)
        params = evaluation_params(self.opt_state, self.params)
        output = _predicting(self.task.predict)
        examples = len(jax.tree.leaves(x)[0])
        if not examples:
            one = jax.tree.map(lambda a: jax.ShapeDtypeStruct((1, *a.shape[1:]), a.dtype), x)  # type: ignore[no-untyped-call]
            made = jax.eval_shape(output, params, self.model_state, one)
            return jax.tree.map(lambda s: jnp.zeros((0, *s.shape[1:]), s.dtype), made)
        starts = range(0, examples, EVALUATION_CHUNK)
        chunks = [slice(start, start + EVALUATION_CHUNK) for start in starts]
        parts = [output(params, self.model_state, _rows(x, chunk)) for chunk in chunks]
        return jax.tree.map(lambda *part: jnp.concatenate(part), *parts)

    def _inputs(self, x: Any) -> Any:
        """Inputs as the adapters take them for training: what NumPy can read, of the same rank."""
        train = self.task.train
        known = train.get("x") if isinstance(train, Mapping) else None
        if known is None or not hasattr(known, "shape"):
            return x
        x = as_array("x", x)
        rank, width = known.ndim, known.shape[1:]
        features = rank == 2 and jnp.issubdtype(known.dtype, jnp.floating)
        if x.ndim != rank or (features and x.shape[1:] != width):
            axes = ", ".join(["examples", *map(str, width)])
            raise ValueError(f"x must have the shape ({axes}), as in training, got {x.shape}")
        return x

    @property
    def variables(self) -> Any:
        """What the model's `apply` takes: of a linen module "params" and its other collections."""
        state = self.model_state if isinstance(self.model_state, dict) else {}
        return {"params": evaluation_params(self.opt_state, self.params), **state}

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Writes the model, the optimizer's state and the history to a directory (by orbax).

        `load_fit(directory, task, tx)` reads it back.

        Args:
          directory: made if it does not exist.

        Raises:
          ImportError: without orbax; it names the extra that installs it.
        """
        Checkpoints(directory, SAVED).save("last", self)
        best = "" if self.best_step is None else str(self.best_step)
        (pathlib.Path(directory).expanduser() / "best_step").write_text(best)

    def to_tensorboard(self, directory: str | os.PathLike[str]) -> pathlib.Path:
        """Writes the history for TensorBoard, with the optimizer's numbers on its HParams page.

        Of a number that has changed the page has the largest value that it had at an evaluation;
        its curve is among the others.

        Args:
          directory: a folder, made if it does not exist: a run of its own under the folder that
            `tensorboard --logdir` is given. What was written there before is replaced.

        Raises:
          ImportError: without tensorboardX; it names the extra that installs it.

        Example:
          >>> import tempfile
          >>> from lropt_jax import adam, classification_task, fit, load_data, mlp
          >>> task = classification_task(mlp((8, 10)), load_data("digits"))
          >>> result = fit(task, adam(0.01), steps=20, eval_every=10)
          >>> folder = result.to_tensorboard(tempfile.mkdtemp())  # tensorboard --logdir FOLDER
        """
        history = dict(self.history)
        steps = history.pop("step")
        names = numbers_of(self.opt_state)
        numbers = {name: float(f"{np.max(history[name]):.7g}") for name in names}
        return write_events(directory, [Logged("", numbers, steps, history)])

    def plot(self) -> Any:
        """A matplotlib figure: losses, the other metrics, the learning rate, what was watched.

        Raises:
          ImportError: without matplotlib; it names the extra that installs it.
        """
        from lropt_jax.plotting.training import history_figure

        require("a figure", "report", "matplotlib")
        return history_figure(self.history, self.best_step)


def load_fit(
    directory: str | os.PathLike[str], task: Task, tx: optax.GradientTransformation
) -> Fit:
    """Reads what `Fit.save` wrote.

    When to use:
      To go on from, or to predict with, what `Fit.save` wrote. The task and the optimizer are
      code and must be given again, the same.

    Args:
      directory: where it is; that of a training, `fit(directory=)`, gives its last evaluation.
      task: what was trained: its model must have the same parameters.
      tx: the optimizer, with a state of the same structure.

    Raises:
      ValueError: for a directory without a trained model, or one of another model or optimizer.
      ImportError: without orbax; it names the extra that installs it.

    See also:
      `fit`, `load_sweep`.

    Example:
      >>> import pathlib, tempfile
      >>> import jax.numpy as jnp
      >>> from lropt_jax import Task, fit, load_fit, sgd
      >>> task = Task(
      ...     init=lambda key: (jnp.zeros(2), {}),
      ...     loss=lambda w, state, batch, key: (((batch["x"] @ w - 1) ** 2).mean(), (state, {})),
      ...     evaluate=lambda w, state, batch: {"loss": (batch["x"] @ w - 1) ** 2},
      ...     train={"x": jnp.eye(2)}, batch_size=2,
      ... )
      >>> folder = pathlib.Path(tempfile.mkdtemp()) / "model"
      >>> fit(task, sgd(0.5), 10).save(folder)
      >>> load_fit(folder, task, sgd(0.5)).step
      10
    """
    path = pathlib.Path(directory).expanduser()
    if not (path / "training.json").exists():
        raise ValueError(f"directory {path} holds no trained model")

    def lane(key: Any) -> Lane:
        params, model_state = task.init(key)
        return Lane(params, model_state, tx.init(params), key, jnp.zeros((), jnp.int32))

    like = jax.eval_shape(lane, jax.random.key(0))
    held = Checkpoints(path, None).load("last", like)
    if held is None:
        raise ValueError(f"directory {path} holds no trained model")
    # That of a training (`fit(directory=)`) is its last evaluation.
    best = (path / "best_step").read_text() if (path / "best_step").exists() else ""
    return Fit(**held, task=task, best_step=int(best) if best else None)


def _rows(x: Any, which: slice) -> Any:
    return jax.tree.map(lambda a: a[which], x)


@functools.lru_cache(16)
def _predicting(predict: Any) -> Any:
    return jax.jit(predict)
