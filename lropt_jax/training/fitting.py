"""`train` and `fit`: the training of one model, a population of one lane."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.hyperparameters.access import hyperparams
from lropt_jax.progress import Progress, progress_bar
from lropt_jax.tasks.metrics import direction, known_metric, names_of_metrics, usual_metric
from lropt_jax.tasks.task import Task, check_task
from lropt_jax.training.checkpoints import Checkpoints
from lropt_jax.training.layout import Layout
from lropt_jax.training.moments import Moment as Moment
from lropt_jax.training.population import Population
from lropt_jax.training.run import Run as Run
from lropt_jax.training.stopping import EarlyStopping
from lropt_jax.training.trained import Fit as Fit
from lropt_jax.training.visits import Itinerary as Itinerary
from lropt_jax.training.visits import itinerary as itinerary
from lropt_jax.validation import whole_number

NEEDS_EVALUATIONS = (
    "eval_every must be given when a schedule observes: it says after how many updates the "
    "loss is measured and shown to it"
)


def train(
    task: Task,
    tx: optax.GradientTransformation,
    steps: int | None = None,
    key: Any = 0,
    eval_every: int | str | None = None,
    accumulate: Any = None,
    observe: str | None = None,
    start: Moment | None = None,
    epochs: int | None = None,
    directory: str | os.PathLike[str] | None = None,
) -> Iterator[Moment]:
    """Trains one model, and hands out a `Moment` at each evaluation.

    The body of the loop may log, save, break, or set hyperparameters for the next segment, at no
    cost of compilation. `fit` is this loop.

    Args:
      task: the training problem.
      tx: any Optax transformation.
      steps: updates to take, those before `start` included.
      key: an int seed or a JAX key; everything random comes from it.
      eval_every: updates between evaluations (also after the last one), or "epoch"; None
        evaluates at the end only.
      accumulate: microbatches of `task.batch_size` for each update, a whole number or a schedule
        of the update count; their mean gradient makes one update. Schedules count updates.
      observe: the metric that a schedule is shown; by default `valid_loss`, or `train_loss`
        where the task has no validation split.
      start: a `Moment` or `Fit` to go on from, its key and its history included. Where it stands
        at an evaluation of the longer training too, the result is that of a training that was
        not interrupted, bit for bit.
      epochs: in place of `steps`: passes over the training set.
      directory: where the training is kept at each evaluation (by orbax). Killed at any moment,
        the same call goes on from the last evaluation, bit for bit.

    Returns:
      An iterator of `Moment`s.

    Raises:
      ValueError: for bad arguments, at once, and before anything is compiled.
      ImportError: with `directory` and without orbax; it names the extra that installs it.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import Task, adam, set_hyperparams, train
      >>> def squares(params, batch):
      ...     return (batch["x"] @ params - batch["y"]) ** 2
      >>> data = {"x": jnp.eye(4), "y": jnp.arange(4.0)}
      >>> task = Task(
      ...     init=lambda key: (jnp.zeros(4), {}),
      ...     loss=lambda p, s, batch, key: (squares(p, batch).mean(), (s, {})),
      ...     evaluate=lambda p, s, batch: {"loss": squares(p, batch)},
      ...     train=data, valid=data, batch_size=4,
      ... )
      >>> for moment in train(task, adam(0.3), steps=300, eval_every=50):
      ...     if moment.metrics["valid_loss"] < 1e-3:
      ...         break
      ...     if moment.step == 100:
      ...         moment.opt_state = set_hyperparams(moment.opt_state, learning_rate=0.1)
      >>> moment.step < 300
      True
    """
    training = _Training.begin(
        task, tx, steps, key, eval_every, accumulate, observe, start, epochs, directory
    )
    return training.moments()


def fit(
    task: Task,
    tx: optax.GradientTransformation,
    steps: int | None = None,
    key: Any = 0,
    eval_every: int | str | None = None,
    accumulate: Any = None,
    progress: bool | Progress = False,
    observe: str | None = None,
    start: Moment | None = None,
    epochs: int | None = None,
    directory: str | os.PathLike[str] | None = None,
    stop: Callable[[Moment], bool] | None = None,
    keep: str = "last",
) -> Fit:
    """Trains one model.

    Batches are drawn by a fresh permutation of the training set each epoch, the last partial
    batch dropped. A schedule that observes (`reduce_on_plateau`) is shown a metric after each
    evaluation.

    Args:
      task, tx, steps, key, eval_every, accumulate, observe, start, epochs, directory: as in
        `train`.
      progress: whether to show a live progress line.
      stop: `early_stopping(...)`, or any function of a `Moment` that says whether to end there.
      keep: "last", or "best": the parameters of the best evaluation, by the metric of `stop`, or
        by the validation loss (the training loss where there is no validation split).

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
      ...     predict=lambda p, s, x: x @ p,
      ... )
      >>> result = fit(task, sgd(1.0), epochs=20)
      >>> bool(result.history["train_loss"][-1] < 1.0)
      True
      >>> result.evaluate("train")["loss"] < 1.0, result.predict(x).shape
      (True, (4,))
    """
    if keep not in ("last", "best"):
        raise ValueError(f"keep must be 'last' or 'best', got {keep!r}")
    training = _Training.begin(
        task, tx, steps, key, eval_every, accumulate, observe, start, epochs, directory
    )
    metric, mode = _judged_by(task, stop, keep)
    last, best = training.restored, training.best if keep == "best" else None
    with progress_bar(progress, total=training.plan.steps) as bar:
        bar.advance(0 if last is None else last.step)
        ended = last is not None and stop is not None and stop(last)
        for moment in () if ended else training.moments(bar.advance):
            last = moment
            if keep == "best" and _better(moment, best, metric, mode):
                best = moment
                training.keep_best(moment)
            if stop is not None and stop(moment):
                break
    assert last is not None
    chosen = last if best is None else best
    fields = {f.name: getattr(chosen, f.name) for f in dataclasses.fields(Moment)}
    fields["history"] = last.history
    return Fit(**fields, best_step=None if keep == "last" else chosen.step)


def _judged_by(task: Task, stop: Any, keep: str) -> tuple[str, str]:
    """The metric that says which evaluation is best, and which way."""
    if not isinstance(stop, EarlyStopping) and keep == "last":
        return "", ""
    known, _ = names_of_metrics(task)
    if isinstance(stop, EarlyStopping):
        return known_metric(stop.metric, known, "stop"), stop.mode
    metric = usual_metric(known, what="keep")
    return metric, direction(metric)


def _better(moment: Moment, best: Moment | None, metric: str, mode: str) -> bool:
    value = moment.metrics[metric]
    if best is None or not np.isfinite(best.metrics[metric]):
        return best is None or bool(np.isfinite(value))
    held = best.metrics[metric]
    return value < held if mode == "min" else value > held


@dataclasses.dataclass
class _Training:
    """A training of one model on its way.

    Attributes:
      task: what is trained.
      plan: when the host visits.
      observed: the metric that schedules are shown, or None for the usual one.
      run: the lane on its way.
      layout: where it lies.
      rows: the history so far.
      checkpoints: where it is kept, or None.
      restored: the evaluation that it goes on from, or None.
      best: the best evaluation before, where it was kept.
    """

    task: Task
    plan: Itinerary
    observed: str | None
    run: Run
    layout: Layout
    rows: list[dict[str, float]]
    checkpoints: Checkpoints | None = None
    restored: Moment | None = None
    best: Moment | None = None

    @classmethod
    def begin(
        cls, task: Task, tx: Any, steps: Any, key: Any, eval_every: Any, accumulate: Any,
        observed: str | None, start: Moment | None, epochs: Any, directory: Any,
    ) -> _Training:  # fmt: skip
        """Checks everything, and makes the lane ready."""
        if not isinstance(tx, optax.GradientTransformation):
            hint = f"{getattr(tx, '__name__', 'adam')}(1e-3)" if callable(tx) else "adam(1e-3)"
            raise TypeError(f"tx must be an Optax transformation like {hint}, got {tx!r}")
        plan = _plan(task, steps, epochs, eval_every, accumulate)
        if start is not None and not 0 < start.step < plan.steps:
            raise ValueError(
                f"steps={plan.steps} are those of the whole training: they must be more than the "
                f"{start.step} that start has taken"
            )
        check_task(task)
        layout = Layout("vmap", tuple(jax.local_devices()[:1]))
        population = Population(task, lambda: tx, {}, layout)
        root = as_key(key)
        lanes = population.start(root[None], {})
        if Run.begin(population, lanes).observes and eval_every is None:
            raise ValueError(NEEDS_EVALUATIONS)
        if observed is not None and not Run.begin(population, lanes).observes:
            raise ValueError(
                f"observe={observed!r} needs an optimizer with a schedule that observes "
                "(reduce_on_plateau is one)"
            )
        training = cls(task, plan, observed, Run.begin(population, lanes), layout, [])
        if directory is not None:
            training.checkpoints = Checkpoints(directory, _identity(root, plan, task, lanes))
            like = jax.tree.map(lambda x: x[0], lanes)
            held = training.checkpoints.load("last", like)
            if held is not None:
                start = training.restored = Moment(**held, task=task)
                best = training.checkpoints.load("best", like)
                training.best = None if best is None else Moment(**best, task=task)
        if start is not None:
            training._go_on(start)
        return training

    def _go_on(self, start: Moment) -> None:
        lanes = jax.device_put(_widened(start.lane), self.layout.lanes)
        before = jax.tree.structure(self.run.lanes)
        if jax.tree.structure(lanes) != before:  # type: ignore[operator]
            raise ValueError(
                "start was trained by another model or optimizer: its state has another structure"
            )
        self.run = Run.begin(self.run.population, lanes, start.step)
        names = list(start.history)
        count = int((start.history["step"] <= start.step).sum())
        self.rows = [{n: start.history[n][i] for n in names} for i in range(count)]

    def moments(self, advance: Callable[[int], None] = lambda updates: None) -> Iterator[Moment]:
        """Trains on, an evaluation at a time."""
        done = int(self.run.step[0])
        said = False
        for stop in self.plan.evaluations:
            if stop <= done:
                continue
            _, metrics = self.run.visit(self.plan, lambda n, _: advance(n), self.observed)
            moment = self._moment(stop, {k: float(v[0]) for k, v in metrics.items()})
            diverged = int(self.run.diverged_at[0])
            if diverged >= 0 and not said:
                said = True
                warnings.warn(
                    f"the training is not finite from update {diverged + 1} on: its metrics are "
                    "NaN from there",
                    RuntimeWarning,
                    stacklevel=3,
                )
            if self.checkpoints is not None:
                self.checkpoints.save("last", moment)
            handed = moment.opt_state
            yield moment
            if moment.opt_state is not handed:
                lane = self.run.lanes._replace(opt_state=_widened(moment.opt_state))
                self.run.lanes = jax.device_put(lane, self.layout.lanes)

    def _moment(self, step: int, metrics: dict[str, float]) -> Moment:
        lane = _alone(self.run.lanes)
        self.rows.append({"step": step, **metrics, **_numbers(lane.opt_state)})
        history = {name: np.array([row[name] for row in self.rows]) for name in self.rows[0]}
        return Moment(
            step, metrics, lane.params, lane.model_state, lane.opt_state, history, lane.key,
            self.task,
        )  # fmt: skip

    def keep_best(self, moment: Moment) -> None:
        """Keeps the best evaluation on the disk, where the training is kept."""
        if self.checkpoints is not None:
            self.checkpoints.save("best", moment)


def _plan(task: Task, steps: Any, epochs: Any, eval_every: Any, accumulate: Any) -> Itinerary:
    if (steps is None) == (epochs is None):
        raise ValueError(f"give steps or epochs, got steps={steps!r} and epochs={epochs!r}")
    per_epoch = task.steps_per_epoch
    if epochs is not None:
        batches = whole_number("epochs", epochs) * per_epoch
        starts = itinerary(batches, None, accumulate).microbatches
        steps = batches if starts is None else int(np.searchsorted(starts, batches))
    if isinstance(eval_every, str):
        if eval_every != "epoch" or not (accumulate is None or isinstance(accumulate, int)):
            raise ValueError(
                'eval_every must be a whole number, or "epoch" (with a fixed number of '
                f"microbatches), got {eval_every!r}"
            )
        eval_every = max(1, per_epoch // (accumulate or 1))
    return itinerary(steps, eval_every, accumulate)


def _identity(key: jax.Array, plan: Itinerary, task: Task, lanes: Any) -> dict[str, str]:
    """What a kept training depends on, in words; it may only grow longer."""
    shapes = jax.tree.map(lambda x: f"{x.dtype}{list(x.shape[1:])}", lanes)
    return {
        "key": str(np.asarray(jax.random.key_data(key)).tolist()),
        "eval_every": str(plan.eval_every),
        "microbatches": "1" if plan.microbatches is None else "several",
        "examples": str(task.num_examples),
        "batch_size": str(task.batch_size),
        "model and optimizer": str(shapes),
    }


def _numbers(opt_state: Any) -> dict[str, float]:
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


@jax.jit
def _alone(lanes: Any) -> Any:
    """The one lane of a population, in arrays of its own."""
    return jax.tree.map(lambda x: x[0], lanes)


@jax.jit
def _widened(lane: Any) -> Any:
    return jax.tree.map(lambda x: jnp.asarray(x)[None], lane)


def as_key(key: Any) -> jax.Array:
    """An int seed, a typed key or a raw one as a typed key."""
    if isinstance(key, (int, np.integer)):
        return jax.random.key(int(key))
    array: jax.Array = jnp.asarray(key)
    typed = jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
    return array if typed else jax.random.wrap_key_data(array)
