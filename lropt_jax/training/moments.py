"""What a training shows and leaves: a `Moment` at each evaluation, a `Fit` at the end."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.hyperparameters.evaluation import evaluation_params
from lropt_jax.tasks.task import Task
from lropt_jax.training.layout import Layout
from lropt_jax.training.population import Population
from lropt_jax.training.segment import EVALUATION_CHUNK, Lane
from lropt_jax.validation import require, unknown


@dataclasses.dataclass
class Moment:
    """A training at one of its evaluations.

    It stays as it is when the training goes on: its arrays are its own.

    Attributes:
      step: updates taken.
      metrics: each metric's value at this evaluation, by name.
      params: the parameters.
      model_state: what else the model carries.
      opt_state: the optimizer's state. Assign another one, `moment.opt_state =
        set_hyperparams(moment.opt_state, learning_rate=0.01)`, and the next segment uses it.
      history: "step", each metric, and each of the optimizer's numbers as the next update will
        use it; arrays with one entry an evaluation, from the first one on.
      key: of the training: with it the training goes on as if it had not been interrupted.
      task: what is trained.
    """

    step: int
    metrics: dict[str, float]
    params: Any
    model_state: Any
    opt_state: Any
    history: dict[str, np.ndarray]
    key: jax.Array
    task: Task

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {value:.4g}" for name, value in self.metrics.items())
        size = sum(np.size(x) for x in jax.tree.leaves(self.params))
        return f"{type(self).__name__} after {self.step:,} updates: {shown}; {size:,} parameters"

    @property
    def lane(self) -> Lane:
        """All that the training needs to go on."""
        step = jnp.asarray(self.step, jnp.int32)
        return Lane(self.params, self.model_state, self.opt_state, self.key, step)


@dataclasses.dataclass(repr=False)
class Fit(Moment):
    """What `fit` returns: the last `Moment`, or the best one, and what one does with it.

    Attributes:
      best_step: after how many updates the best evaluation was; None where nobody asked.
    """

    best_step: int | None = None

    @classmethod
    def of(cls, lane: Lane, history: dict[str, np.ndarray], task: Task) -> Fit:
        """A lane that has been trained, with what was seen on its way."""
        seen = [n for n in history if n.split("_")[0] in ("train", "valid", "test")]
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
        if split not in self.task.splits:
            raise ValueError(unknown("split", split, self.task.splits))
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
          ValueError: where the task has no `predict`.
        """
        if self.task.predict is None:
            raise ValueError(
                "this task has no predict: give Task(..., predict=lambda params, model_state, x: "
                "...), the model's output for inputs x"
            )
        params = evaluation_params(self.opt_state, self.params)
        output = _predicting(self.task.predict)
        starts = range(0, max(len(jax.tree.leaves(x)[0]), 1), EVALUATION_CHUNK)
        chunks = [slice(start, start + EVALUATION_CHUNK) for start in starts]
        parts = [output(params, self.model_state, _rows(x, chunk)) for chunk in chunks]
        return jax.tree.map(lambda *part: jnp.concatenate(part), *parts)

    @property
    def variables(self) -> Any:
        """What the model's `apply` takes: of a linen module "params" and its other collections."""
        state = self.model_state if isinstance(self.model_state, dict) else {}
        return {"params": evaluation_params(self.opt_state, self.params), **state}

    def plot(self) -> Any:
        """A matplotlib figure: losses, the other metrics, and the optimizer's numbers.

        Raises:
          ImportError: without matplotlib; it names the extra that installs it.
        """
        from lropt_jax.plotting.training import history_figure

        require("a figure", "report", "matplotlib")
        return history_figure(self.history, self.best_step)

    def _repr_html_(self) -> str:
        cells = "".join(f"<tr><td>{k}</td><td>{v:.4g}</td></tr>" for k, v in self.metrics.items())
        return f"<p>Fit after {self.step:,} updates</p><table>{cells}</table>"


def _rows(x: Any, which: slice) -> Any:
    return jax.tree.map(lambda a: a[which], x)


@functools.lru_cache(16)
def _predicting(predict: Any) -> Any:
    return jax.jit(predict)
