"""What axes say and how they run: words for names and values, logarithmic or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.validation import is_number


def values_of(trials: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """A name's values as words: numbers ascending, others in the order of the trials."""
    if not any(name in trial for trial in trials):
        known = ", ".join(dict.fromkeys(k for t in trials for k in t))
        raise KeyError(f"unknown hyperparameter {name!r}; this sweep has {known}")
    given = [trial.get(name) for trial in trials]
    if all(map(is_plain_number, given)):
        given = sorted(given, key=float)  # type: ignore[arg-type]
    return list(dict.fromkeys(map(shown, given)))


def is_plain_number(value: Any) -> bool:
    """Whether a value has a place on an axis."""
    return is_number(value) and np.ndim(value) == 0


def shown(value: Any) -> str:
    """A value in a few digits, or its name."""
    if is_plain_number(value):
        return f"{value:.3g}"
    return "" if value is None else str(getattr(value, "__name__", value))


def spans_decades(values: np.ndarray) -> bool:
    """Whether positive values span more than a decade."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return bool(len(values) and values.min() > 0 and values.max() / values.min() > 10)


def words_of(name: str) -> str:
    """A name as an axis says it."""
    return name.replace("_", " ")
