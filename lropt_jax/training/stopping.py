"""When a training ends before its last update: `early_stopping`."""

from __future__ import annotations

import dataclasses

import numpy as np

from lropt_jax.tasks.metrics import direction
from lropt_jax.training.moments import Moment
from lropt_jax.validation import non_negative, whole_number


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    """A rule for `fit(stop=...)`, made by `early_stopping`. It reads the history alone, so that a
    training that was interrupted stops where it would have stopped.

    Attributes:
      metric: what it watches.
      patience: evaluations without an improvement after which it stops.
      min_delta: what counts as an improvement, in the metric's unit.
      mode: whether "min" or "max" is better.
    """

    metric: str
    patience: int
    min_delta: float
    mode: str

    def __call__(self, moment: Moment) -> bool:
        """Whether the training ends here."""
        sign = 1.0 if self.mode == "min" else -1.0
        best, since = np.inf, 0
        for value in sign * moment.history[self.metric]:
            better = value < best - self.min_delta  # False for a NaN
            best, since = (value, 0) if better else (best, since + 1)
        return since >= self.patience


def early_stopping(
    metric: str = "valid_loss", patience: int = 5, min_delta: float = 0.0, mode: str | None = None
) -> EarlyStopping:
    """Ends a training when a metric has stopped getting better.

    When to use:
      When a training would overfit, or its length is a guess. Start with a patience of 5 to 10
      evaluations and a rate that does not depend on the length. Not under a cosine to 0: a stop
      in the middle never sees the small rates.

    Args:
      metric: as in the history, "valid_loss" or "valid_accuracy".
      patience: so many evaluations in a row without an improvement end it.
      min_delta: by how much a value must beat the best one to count, in the metric's unit.
      mode: "min" or "max"; None leaves it to the last word of the metric's name.

    Raises:
      ValueError: for a bad number, or a name that does not tell which way is better.

    Reference:
      Prechelt 1998, Early stopping, but when?

    See also:
      `fit`, whose `keep="best"` keeps the best without a stop, `reduce_on_plateau`.

    Example:
      >>> from lropt_jax import early_stopping
      >>> early_stopping("valid_accuracy", patience=3).mode
      'max'
    """
    non_negative.check("min_delta", min_delta)
    return EarlyStopping(
        metric, whole_number("patience", patience), float(min_delta), direction(metric, mode)
    )
