"""Numbers of one optimizer in two packages: where they differ."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.hyperparameters.access import hyperparams
from lropt_jax.hyperparameters.state import TunableState
from lropt_jax.optimizers.carrying.parts import fixed_of


def differences(state: TunableState, theirs: Mapping[str, Any], label: str = "") -> list[str]:
    """What the next update here uses, and what theirs would, where that is not the same.

    Args:
      state: our optimizer's, whose numbers hold.
      theirs: numbers by the names that they have here; None is none.
      label: before the name.
    """
    ours = {**fixed_of(state), **hyperparams(state)}
    words = []
    for name, there in theirs.items():
        if name not in ours:  # a factory of the user's own, with other names
            continue
        here = ours[name]
        if not np.allclose(_number(here), _number(there), rtol=1e-6, atol=0):
            words.append(f"{label}{name} is {_text(here)}, there {_text(there)}")
    return words


def warn(caller: str, words: Sequence[str]) -> None:
    """One warning for all of them, which is placed at the caller's own line."""
    if words:
        warnings.warn(f"{caller}: what tx says holds; it differs: {'; '.join(words)}", stacklevel=3)


def _number(value: Any) -> Any:
    return 0.0 if value is None else np.asarray(value, np.float64)


def _text(value: Any) -> str:
    return "None" if value is None else " ".join(f"{x:.6g}" for x in np.ravel(_number(value)))
