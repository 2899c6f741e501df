"""What a training shows at each of its evaluations: a `Moment`."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.hyperparameters.access import hyperparams
from lropt_jax.progress import several, shown
from lropt_jax.tasks.task import Task
from lropt_jax.training.lanes import Lane
from lropt_jax.training.watching.words import edge_in_words


@shown
@dataclasses.dataclass(eq=False, repr=False)
class Moment:
    """A training at one of its evaluations.

    It stays as it is when the training goes on: its arrays are its own. What a loop assigns to
    its `params`, `model_state` or `opt_state` is what the next segment goes on with.

    Attributes:
      step: updates taken.
      metrics: each metric's value at this evaluation, by name.
      params: the parameters.
      model_state: what else the model carries.
      opt_state: the optimizer's state. Assign another one, `moment.opt_state =
        set_hyperparams(moment.opt_state, learning_rate=0.01)`, and the next segment uses it.
      history: "step", each metric, what is watched, and each of the optimizer's numbers as the
        next update will use it; arrays with one entry an evaluation, from the first one on.
      key: of the training: with it the training goes on as if it had not been interrupted.
      task: what is trained.

    See also:
      `train`, `set_hyperparams`, `fit`.

    Example:
      >>> from lropt_jax import adam, classification_task, load_data, mlp, set_hyperparams, train
      >>> task = classification_task(mlp((8, 10)), load_data("digits"))
      >>> for moment in train(task, adam(0.1), steps=20, eval_every=10):
      ...     moment.opt_state = set_hyperparams(moment.opt_state, learning_rate=0.01)
      >>> moment.step, moment.history["learning_rate"].round(2).tolist()
      (20, [0.1, 0.01])
    """

    step: int
    metrics: dict[str, float]
    params: Any
    model_state: Any
    opt_state: Any
    history: dict[str, np.ndarray]
    key: jax.Array
    task: Task

    def _about(self) -> tuple[str, dict[str, str]]:
        size = sum(np.size(x) for x in jax.tree.leaves(self.params))
        title = f"{type(self).__name__} after {several(self.step, 'update')}, "
        title += several(size, "parameter")
        rows = {name: f"{value:.4g}" for name, value in self.metrics.items()}
        return title, rows | edge_in_words(self.history, self.step)

    @property
    def lane(self) -> Lane:
        """All that the training needs to go on."""
        step = jnp.asarray(self.step, jnp.int32)
        return Lane(self.params, self.model_state, self.opt_state, self.key, step)


def numbers_of(opt_state: Any) -> dict[str, float]:
    """The optimizer's numbers, by name; those of a group by "label/name"."""
    try:
        found = hyperparams(opt_state)
    except ValueError:  # it has none that can be read
        return {}
    flat: dict[str, float] = {}
    for name, value in found.items():
        parts = value.items() if isinstance(value, dict) else [(None, value)]
        for inner, number in parts:
            flat[name if inner is None else f"{name}/{inner}"] = float(number)
    return flat
