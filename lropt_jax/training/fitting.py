"""`train` and `fit`: the training of one model, a population of one lane."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import optax

from lropt_jax.progress import Progress, progress_bar
from lropt_jax.tasks.metrics import direction, known_metric, names_of_metrics, usual_metric
from lropt_jax.tasks.task import Task
from lropt_jax.training.course import Course
from lropt_jax.training.moments import Moment
from lropt_jax.training.stopping import EarlyStopping, early_stopping
from lropt_jax.training.trained import Fit
from lropt_jax.training.watching.names import EXAMPLES, Watched
from lropt_jax.training.watching.names import watched as what_is_watched


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
    watch: Sequence[str] = (),
    directory: str | os.PathLike[str] | None = None,
    watch_examples: int = EXAMPLES,
) -> Iterator[Moment]:
    r"""Trains one model, and hands out a `Moment` at each evaluation.

    The body of the loop may log, save, break, or set hyperparameters for the next segment, at no
    cost of compilation; parameters may be assigned, too (see `Moment`). `fit` is this loop.

    When to use:
      When something is to happen between evaluations: log, save, change a hyperparameter,
      stop. Start with a loop over `eval_every="epoch"`. Not for something at every update:
      segments run as one program, so each evaluation has a price.

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
      watch: what else is measured at each evaluation, some of

        - "sharpness": $\lambda$, the largest eigenvalue of the Hessian of the mean loss. Plain
          gradient descent is stable up to $2/\eta$;
        - "preconditioned_sharpness": that of $P^{-1} H$, with what an adaptive optimizer divides
          by as $P$, of Adam $\sqrt{\hat v} + \epsilon$;
        - "update_ratio": the length of the last update over that of the parameters before it; about
          $10^{-3}$ is usual. Also of each leaf, "update_ratio/dense/kernel";
        - "rotation": the angle by which the last update turned the parameters, in radians; also
          of each leaf;
        - "noise_scale": $\mathrm{tr}\,\Sigma/|G|^2$, the batch size at which the noise of a
          gradient is as large as the gradient: far above it, larger batches hardly help.

        Beside a sharpness, the history has what it must not exceed by the optimizer's learning
        rate and momentum, "sharpness_limit", where that is known: $(2 + 2\mu)/\eta$ of
        heavy-ball momentum, $(2 + 2\beta_1)/((1 - \beta_1)\eta)$ of Adam; weight decay is left out.
        They cost nothing where nobody asks, and change no bit of the training.
      directory: where the training is kept at each evaluation (by orbax). Killed at any moment,
        the same call goes on from the last evaluation, bit for bit; that one is handed out again,
        so that what a loop did at it is done. `steps` may be more than before; of another task,
        optimizer, key or rhythm it is refused.
      watch_examples: how many of the first training examples curvature and noise are measured
        on, in batches of the task's size; all where there are fewer. The loss is the training
        loss; where it is random (dropout, augmentation), the mean of the evaluation's "loss".

    Returns:
      An iterator of `Moment`s.

    Raises:
      ValueError: for bad arguments, at once, and before anything is compiled.
      ImportError: with `directory` and without orbax; it names the extra that installs it.

    Reference:
      Cohen et al. 2021, Gradient descent on neural networks typically occurs at the edge of
      stability, arXiv:2103.00065; Cohen et al. 2022, Adaptive gradient methods at the edge of
      stability, arXiv:2207.14484; McCandlish et al. 2018, An empirical model of large-batch
      training, arXiv:1812.06162; Kosson et al. 2023, Rotational equilibrium, arXiv:2305.17212.

    See also:
      `fit`, which is a loop over it, `set_hyperparams`, `Moment`.

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
    watched = what_is_watched(watch, watch_examples, layers=True)
    training = Course.begin(
        task, tx, steps, key, eval_every, accumulate, observe, start, epochs, directory, watched
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
    watch: Sequence[str] = (),
    directory: str | os.PathLike[str] | None = None,
    stop: Callable[[Moment], bool] | None = None,
    keep: str = "last",
    watch_examples: int = EXAMPLES,
) -> Fit:
    """Trains one model.

    Batches are drawn by a fresh permutation of the training set each epoch, the last partial
    batch dropped. A schedule that observes (`reduce_on_plateau`) is shown a metric after each
    evaluation.

    When to use:
      To train one model whose numbers you know. Start with `epochs=20, eval_every="epoch",
      keep="best"`. For a loop of your own, in which you change numbers or log, take `train`;
      for many models `sweep`.

    Args:
      task: the training problem.
      tx: any Optax transformation.
      steps: updates to take, those before `start` included.
      key: an int seed or a JAX key; everything random comes from it.
      eval_every: updates between evaluations (also after the last one), or "epoch"; None
        evaluates at the end only.
      accumulate: microbatches of `task.batch_size` for each update, a whole number or a schedule
        of the update count.
      observe: the metric that a schedule is shown; by default `valid_loss`, or `train_loss`
        where the task has no validation split.
      start: a `Moment` or `Fit` to go on from, its key and its history included.
      epochs: in place of `steps`: passes over the training set.
      watch: what else is measured at each evaluation: "sharpness", "update_ratio" and others, of
        which `train` has the list.
      directory: where the training is kept at each evaluation; the same call goes on from the
        last one, bit for bit.
      watch_examples: how many of the first training examples curvature and noise are measured on.
      progress: whether to show a live progress line.
      stop: `early_stopping(...)`, or any function of a `Moment` that says whether to end there.
      keep: "last", or "best": the parameters of the best evaluation, that of `start` included
        where it is of this task, by the metric of `stop`, or by the validation loss (the training
        loss where there is no validation split).

    Returns:
      A `Fit`. `train_loss` in its history is the mean batch loss since the last evaluation.
      From where the training loss or the parameters are not finite, all metrics are NaN; another
      metric that is not finite is just that value at that evaluation.

    Raises:
      ValueError: for bad arguments, before anything is compiled.
      TypeError: for a `stop` that is no function; `early_stopping` without its brackets, say.
      ImportError: with `directory` and without orbax; it names the extra that installs it.

    See also:
      `train`, `load_fit`, `early_stopping`, `sweep`, `lr_range_test`.

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

      How near is gradient descent to the largest rate that this curvature bears?

      >>> watched = fit(task, sgd(1.0), epochs=20, watch=["sharpness", "update_ratio"])
      >>> round(watched.metrics["sharpness"], 4), float(watched.history["sharpness_limit"][-1])
      (0.5, 2.0)
      >>> print(repr(watched).splitlines()[-1].strip())
      edge of stability: below the edge: 0.25 of 2/η
    """
    if keep not in ("last", "best"):
        raise ValueError(f"keep must be 'last' or 'best', got {keep!r}")
    uncalled: Any = early_stopping
    if stop is not None and (not callable(stop) or stop is uncalled):
        raise TypeError(
            "stop must be early_stopping(...), or a function of a Moment that says whether the "
            f"training ends, got {stop!r}"
        )
    watched = what_is_watched(watch, watch_examples, layers=True)
    training = Course.begin(
        task, tx, steps, key, eval_every, accumulate, observe, start, epochs, directory, watched
    )
    metric, mode = _judged_by(task, stop, keep, watched)
    if isinstance(stop, EarlyStopping) and eval_every is None:
        warnings.warn(
            "eval_every must be given for stop to end anything: a training is evaluated at its end "
            'alone without it (eval_every="epoch")',
            UserWarning,
            stacklevel=2,
        )
    last, best = None, _finite(training.best, metric) if keep == "best" else None
    with progress_bar(progress, total=training.plan.steps) as bar:
        for moment in training.moments(bar.advance):
            last = moment
            if keep == "best" and _better(moment, best, metric, mode):
                best = moment
                training.keep_best(moment)
            if stop is not None and stop(moment):
                break
    assert last is not None
    chosen = last if best is None else best
    if keep == "best" and best is None:
        warnings.warn(
            f"no evaluation has a finite {metric}: the last one is kept, not the best",
            RuntimeWarning,
            stacklevel=2,
        )
    elif best is not None:
        _say_lost(last.history, training.judged_since, best, metric, mode)
    fields = {f.name: getattr(chosen, f.name) for f in dataclasses.fields(Moment)}
    fields["history"] = last.history
    return Fit(**fields, best_step=None if keep == "last" else chosen.step)


def _judged_by(task: Task, stop: Any, keep: str, watched: Watched) -> tuple[str, str]:
    """The metric that says which evaluation is best, and which way."""
    if not isinstance(stop, EarlyStopping) and keep == "last":
        return "", ""
    known = [*names_of_metrics(task)[0], *watched.names]
    if isinstance(stop, EarlyStopping):
        return known_metric(stop.metric, known, "stop"), stop.mode
    metric = usual_metric(known, what="keep")
    return metric, direction(metric)


def _finite(moment: Moment | None, metric: str) -> Moment | None:
    """A moment that has a finite value of a metric."""
    known = moment is not None and np.isfinite(moment.metrics.get(metric, np.nan))
    return moment if known else None


def _better(moment: Moment, best: Moment | None, metric: str, mode: str) -> bool:
    value = moment.metrics[metric]
    if best is None or not np.isfinite(value):
        return bool(np.isfinite(value))
    held = best.metrics[metric]
    return value < held if mode == "min" else value > held


def _say_lost(
    history: Mapping[str, np.ndarray], since: int, best: Moment, metric: str, mode: str
) -> None:
    """Warns where an evaluation was better than the best one of those that were kept."""
    known = (history["step"] > since) & np.isfinite(history[metric])
    values = np.where(known, history[metric], np.nan)
    first = int((np.nanargmin if mode == "min" else np.nanargmax)(values))
    worse = best.metrics[metric] - values[first]
    if (worse if mode == "min" else -worse) > 0:
        warnings.warn(
            f"the best evaluation, {metric} {values[first]:.4g} after {history['step'][first]} "
            f"updates, was not kept (keep='best' was not asked for then): given is the best since, "
            f"{best.metrics[metric]:.4g} after {best.step}",
            RuntimeWarning,
            stacklevel=3,
        )
