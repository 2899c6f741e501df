"""How far is a training from the edge of stability? In words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lropt_jax.training.watching.names import CURVATURES, limit_of

AT_THE_EDGE = (0.9, 1.15)  # what fractions of the limit count as it


def edge_in_words(history: Mapping[str, np.ndarray], step: int) -> dict[str, str]:
    r"""A row about the edge of stability, "at the edge: 0.98 of 2/η", where it is known.

    Args:
      history: of a training, with a sharpness and its limit.
      step: the evaluation that it is about.
    """
    for name in CURVATURES:
        if name not in history or limit_of(name) not in history:
            continue
        here = np.flatnonzero(history["step"] == step)
        if not len(here):
            continue
        limit = float(history[limit_of(name)][here[-1]])
        share = float(history[name][here[-1]]) / limit
        if not np.isfinite(share):
            continue
        rates = history.get("learning_rate")
        rate = np.nan if rates is None else float(rates[here[-1]])
        of = f"{limit * rate:.3g}/η" if np.isfinite(rate) else f"the limit {limit:.4g}"
        low, high = AT_THE_EDGE
        where = "below" if share < low else "beyond" if share > high else "at"
        return {"edge of stability": f"{where} the edge: {share:.2f} of {of}"}
    return {}
