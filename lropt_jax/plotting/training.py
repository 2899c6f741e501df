"""The figure of one training: losses, the other metrics, and the optimizer's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lropt_jax.plotting.axes import above, logarithmic, words_of
from lropt_jax.plotting.style import colours, style


def history_figure(history: Mapping[str, np.ndarray], best_step: int | None = None) -> Any:
    """A panel for the losses, one for the other metrics, one for the learning rate.

    Args:
      history: arrays by name, "step" among them.
      best_step: where to draw a line, or None.
    """
    names = [name for name in history if name != "step"]
    metrics = [n for n in names if n.split("_")[0] in ("train", "valid", "test")]
    losses = [n for n in metrics if n.endswith("loss")]
    others = [n for n in metrics if n not in losses]
    rates = [n for n in names if n.split("/")[-1] == "learning_rate"]
    panels = [p for p in (losses, others, rates) if p]
    with style() as figure:
        fig = figure(figsize=(3.9 * max(1, len(panels)), 3.3), layout="constrained")
        for axes, shown in zip(fig.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            colour = colours(shown)
            alone = len(shown) == 1
            for name in shown:
                marker = "o" if len(history["step"]) == 1 else None
                axes.plot(
                    history["step"],
                    history[name],
                    color=colour[name],
                    label=None if alone else words_of(name),
                    marker=marker,
                )
            if best_step is not None:
                axes.axvline(best_step, color="0.4", linestyle=":", label="best step")
            values = np.concatenate([history[name] for name in shown])
            if shown is losses and np.nanmin(values) > 0:
                logarithmic(axes, "y")
            axes.set(xlabel="updates", ylabel=words_of(shown[0]) if alone else "")
            if axes.get_legend_handles_labels()[0]:
                above(axes)
    return fig
