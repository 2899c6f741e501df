"""What schedules that observe are shown in a training, and whether that is what they wait for."""

from __future__ import annotations

from typing import Any

import jax

from lropt_jax.hyperparameters.access import wants_observation
from lropt_jax.schedules.base import Schedule
from lropt_jax.tasks.metrics import direction, names_of_metrics
from lropt_jax.tasks.task import Task
from lropt_jax.training.watching.names import Watched
from lropt_jax.validation import caution


def check_observed(
    task: Task, state: Any, observed: str | None, eval_every: Any, watched: Watched
) -> None:
    """Whether schedules observe what there is to observe, and when; warns of the wrong direction.

    Args:
      task: what is trained.
      state: the optimizer's, or its shapes.
      observed: the metric that schedules are shown; None for the loss.
      eval_every: when.
      watched: what else is measured then.

    Raises:
      ValueError: where there is nothing to show, or nobody to show it to.
    """
    observes = wants_observation(state)
    if observes and eval_every is None:
        raise ValueError(
            "eval_every must be given when a schedule observes: it says after how many updates the "
            "loss is measured and shown to it"
        )
    if observed is not None and not observes:
        raise ValueError(
            f"observe={observed!r} needs an optimizer with a schedule that observes "
            "(reduce_on_plateau is one)"
        )
    if not observes:
        return
    known = [*names_of_metrics(task)[0], *watched.names]
    if observed is not None and observed not in known:
        raise ValueError(f"observe must be one of {', '.join(known)}, got {observed!r}")
    usual = "train_loss" if task.valid is None else "valid_loss"
    _say_direction(observed or usual, _modes(state))


def _say_direction(metric: str, modes: set[str]) -> None:
    """Warns where a schedule waits for a metric to become worse."""
    try:
        best = direction(metric)
    except ValueError:  # its name does not tell
        return
    for mode in modes - {best}:
        caution(
            f"{metric} is better when it {'falls' if best == 'min' else 'rises'}, and a schedule "
            f"that observes it has mode={mode!r}, so that it waits for the contrary: "
            f"reduce_on_plateau(..., mode={best!r})"
        )


def _modes(state: Any) -> set[str]:
    """Which way the schedules that observe want what they see to go."""

    def of(value: Any) -> set[str]:
        if isinstance(value, (tuple, list)):
            return set().union(*map(of, value))
        if not isinstance(value, Schedule):
            return set()
        own = {value.arguments["mode"]} if value.state and "mode" in value.arguments else set()
        return own.union(*map(of, value.arguments.values()))

    return of(jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, Schedule)))
