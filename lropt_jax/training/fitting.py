"""`fit`: the training of one model, a population of one lane."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.progress import Progress, progress_bar
from lropt_jax.tasks.task import Task, check_task
from lropt_jax.training.layout import Layout
from lropt_jax.training.population import Population
from lropt_jax.training.run import Run as Run
from lropt_jax.training.visits import Itinerary as Itinerary
from lropt_jax.training.visits import itinerary as itinerary

NEEDS_EVALUATIONS = (
    "eval_every must be given when a schedule observes: it says after how many updates the "
    "loss is measured and shown to it"
)


class Fit(NamedTuple):
    """What `fit` returns.

    Attributes:
      params: the trained parameters.
      model_state: what else the model carries.
      opt_state: the optimizer's state.
      history: "step" and each metric (`train_loss`, `valid_loss`, ...), arrays with one entry
        an evaluation.
    """

    params: Any
    model_state: Any
    opt_state: Any
    history: dict[str, np.ndarray]


def fit(
    task: Task,
    tx: optax.GradientTransformation,
    steps: int,
    key: Any = 0,
    eval_every: int | None = None,
    accumulate: Any = None,
    progress: bool | Progress = False,
    observe: str | None = None,
) -> Fit:
    """Trains one model.

    Batches are drawn by a fresh permutation of the training set each epoch, the last partial
    batch dropped. A schedule that observes (`reduce_on_plateau`) is shown a metric after each
    evaluation.

    Args:
      task: the training problem.
      tx: any Optax transformation.
      steps: updates to take.
      key: an int seed or a JAX key; everything random comes from it.
      eval_every: updates between evaluations on the validation split (also after the last
        step); None evaluates at the end only.
      accumulate: microbatches of `task.batch_size` for each update, a whole number or a schedule
        of the update count; their mean gradient makes one update. Schedules count updates.
      progress: whether to show a live progress line.
      observe: the metric that a schedule is shown; by default `valid_loss`, or `train_loss`
        where the task has no validation split.

    Returns:
      A `Fit`. `train_loss` in its history is the mean batch loss since the last evaluation.
      From where the training loss or the parameters are not finite, all metrics are NaN; another
      metric that is not finite is just that value at that evaluation.

    Raises:
      ValueError: for bad arguments, before anything is compiled.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import Task, fit, sgd
      >>> def squares(params, batch):
      ...     return (batch["x"] @ params - batch["y"]) ** 2
      >>> x = jnp.eye(4)
      >>> task = Task(
      ...     init=lambda key: (jnp.zeros(4), ()),
      ...     loss=lambda p, s, batch, key: (squares(p, batch).mean(), (s, {})),
      ...     evaluate=lambda p, s, batch: {"loss": squares(p, batch)},
      ...     train={"x": x, "y": jnp.arange(4.0)},
      ...     batch_size=4,
      ... )
      >>> result = fit(task, sgd(1.0), steps=20)
      >>> bool(result.history["train_loss"][-1] < 1.0)
      True
    """
    plan = itinerary(steps, eval_every, accumulate)
    check_task(task)
    layout = Layout("vmap", tuple(jax.local_devices()[:1]))
    population = Population(task, lambda: tx, {}, layout)
    run = Run.begin(population, population.start(as_key(key)[None], {}))
    if run.observes and eval_every is None:
        raise ValueError(NEEDS_EVALUATIONS)
    if observe is not None and not run.observes:
        raise ValueError(
            f"observe={observe!r} needs an optimizer with a schedule that observes "
            "(reduce_on_plateau is one)"
        )
    rows: list[dict[str, float]] = []
    with progress_bar(progress, total=plan.steps) as bar:
        for stop in plan.evaluations:
            _, metrics = run.visit(plan, lambda updates, _: bar.advance(updates), observe)
            rows.append({"step": stop, **{k: float(v[0]) for k, v in metrics.items()}})
    history = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    lane = jax.tree.map(lambda x: x[0], run.lanes)
    return Fit(lane.params, lane.model_state, lane.opt_state, history)


def as_key(key: Any) -> jax.Array:
    """An int seed, a typed key or a raw one as a typed key."""
    if isinstance(key, (int, np.integer)):
        return jax.random.key(int(key))
    array: jax.Array = jnp.asarray(key)
    typed = jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
    return array if typed else jax.random.wrap_key_data(array)
