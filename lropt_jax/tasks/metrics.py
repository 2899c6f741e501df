"""What a metric's name says: which way is better, between what it lies, how it is spelled."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from lropt_jax.tasks.examples import batch_of
from lropt_jax.tasks.task import Task
from lropt_jax.validation import unknown

# By the last word of a name: the lowest and the highest value there can be.
BEST_HIGH = {
    "accuracy": (0.0, 1.0), "acc": (0.0, 1.0), "auc": (0.0, 1.0), "f1": (0.0, 1.0),
    "precision": (0.0, 1.0), "recall": (0.0, 1.0), "r2": (-math.inf, 1.0),
    "score": (-math.inf, math.inf),
}  # fmt: skip
BEST_LOW = dict.fromkeys(
    ("loss", "error", "mse", "rmse", "mae", "mape", "nll", "perplexity"), (0.0, math.inf)
)


def direction(metric: str, mode: str | None = None) -> str:
    """Whether the "min" or the "max" of a metric is best.

    Args:
      metric: its name, of which the last word tells: accuracy, acc, auc, r2, score, f1, precision
        and recall are best high; loss, error, mse, rmse, mae, mape, nll and perplexity low.
      mode: "min" or "max" where it is given; None leaves it to the name.

    Raises:
      ValueError: for another mode, or a name that does not tell.

    Example:
      >>> from lropt_jax.tasks.metrics import direction
      >>> direction("valid_macro_f1"), direction("train_loss"), direction("valid_bleu", "max")
      ('max', 'min', 'max')
    """
    if mode not in (None, "min", "max"):
        raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
    if not isinstance(metric, str):
        raise ValueError(f"metric must be a name like 'valid_loss', got {metric!r}")
    word = _last_word(metric)
    if mode is None and word not in BEST_HIGH and word not in BEST_LOW:
        raise ValueError(
            f"mode must be given ('min' or 'max') for the metric {metric!r}: only a name that ends "
            f"in {', '.join(BEST_HIGH)} (max) or {', '.join(BEST_LOW)} (min) tells by itself"
        )
    return mode or ("max" if word in BEST_HIGH else "min")


def bounds(metric: str, values: Any = ()) -> tuple[float, float]:
    """The lowest and the highest value that a metric can have, by the last word of its name.

    An end that some finite value lies beyond (a loss that is negative) is open.
    """
    word = _last_word(metric)
    low, high = {**BEST_HIGH, **BEST_LOW}.get(word, (-math.inf, math.inf))
    seen = np.asarray(values, float).ravel()
    seen = seen[np.isfinite(seen)]
    beyond_low, beyond_high = (seen < low).any(), (seen > high).any()
    return -math.inf if beyond_low else low, math.inf if beyond_high else high


def is_share(metric: str) -> bool:
    """Whether a metric is a share of examples, which people read in percent."""
    return _last_word(metric) in ("accuracy", "acc", "precision", "recall")


def known_metric(metric: str, known: Sequence[str], what: str = "metric") -> str:
    """`metric`, if there is such a one.

    Args:
      metric: its name.
      known: all names.
      what: the argument, for the error.

    Raises:
      ValueError: for another name; it lists the known ones and the nearest.
    """
    if metric not in known:
        raise ValueError(f"{what}: {unknown('metric', metric, known)}")
    return metric


def usual_metric(known: Sequence[str], prefer: Iterable[str] = (), what: str = "metric") -> str:
    """What is ranked by where nobody says: the validation loss, or the only validation metric; the
    training loss where there is no validation split.

    Args:
      known: all names.
      prefer: names that come before these, if there are such.
      what: the argument, for the error.

    Raises:
      ValueError: for several validation metrics none of which is a loss.
    """
    validated = [name for name in known if name.startswith("valid_")]
    candidates = [name for name in (*prefer, "valid_loss") if name in known]
    if candidates:
        return candidates[0]
    if not validated:
        return "train_loss"
    if len(validated) > 1:
        raise ValueError(
            f"{what} must be given: there is no valid_loss, but there are {', '.join(validated)}"
        )
    return validated[0]


def names_of_metrics(task: Task) -> tuple[list[str], list[str]]:
    """The names of the metrics that a training shows at each evaluation, and the task's own of a
    split without its prefix; found on shapes, nothing is computed."""

    def trained(key: Any, batch: Any) -> Any:
        params, model_state = task.init(key)
        return task.loss(params, model_state, batch, key)[1][1]

    batch = batch_of(task.train, task.batch_size)
    evaluated = task.metric_names
    names = [f"train_{name}" for name in jax.eval_shape(trained, jax.random.key(0), batch)]
    validated = [] if task.valid is None else [f"valid_{name}" for name in evaluated]
    return ["train_loss", *names, *validated], evaluated


def _last_word(metric: str) -> str:
    return re.split(r"[^a-z0-9]+", metric.lower())[-1]
