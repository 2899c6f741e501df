"""The figure of one training: losses, other metrics, the learning rate, what was watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.plotting.axes import above, logarithmic, words_of
from lropt_jax.plotting.style import colours, grey, narrow, size, style

# What is watched, by what can share an axis.
WATCHED = {
    "curvature": ("sharpness", "sharpness_limit"),
    "curvature over denominators": ("preconditioned_sharpness", "preconditioned_sharpness_limit"),
    "the last update": ("update_ratio", "rotation"),
    "noise scale (examples)": ("noise_scale",),
}


def history_figure(history: Mapping[str, np.ndarray], best_step: int | None = None) -> Any:
    """A panel for the losses, one for the other metrics, one for the learning rate, and one for
    each kind of thing that was watched; a limit is dashed.

    Args:
      history: arrays by name, "step" among them.
      best_step: where to draw a line, or None.
    """
    names = [name for name in history if name != "step"]
    metrics = [n for n in names if n.split("_")[0] in ("train", "valid", "test")]
    losses = [n for n in metrics if n.endswith("loss")]
    others = [n for n in metrics if n not in losses]
    rates = [n for n in names if n.split("/")[-1] == "learning_rate"]
    watched = [(what, [n for n in group if n in names]) for what, group in WATCHED.items()]
    panels = [p for p in (("", losses), ("", others), ("", rates), *watched) if p[1]]
    columns = min(1 if narrow() else 3, max(1, len(panels)))
    rows = -(-len(panels) // columns) or 1
    with style() as figure:
        fig = figure(figsize=size(3.3 * columns, 3.0 * rows), layout="constrained")
        places = fig.subplots(rows, columns, squeeze=False).ravel()
        for axes, (what, shown) in zip(places, panels, strict=False):
            _panel(axes, history, shown, what, best_step)
            if (shown is losses or what) and _is_positive(history, shown):
                logarithmic(axes, "y")
        for axes in places[len(panels) :]:
            axes.set_axis_off()
    return fig


def _panel(
    axes: Any, history: Mapping[str, np.ndarray], shown: Sequence[str], what: str, best: int | None
) -> None:
    colour, alone = colours(shown), len(shown) == 1
    for name in shown:
        is_limit = name.endswith("_limit")
        axes.plot(
            history["step"],
            history[name],
            color=grey(0.4) if is_limit else colour[name],
            linestyle="--" if is_limit else "-",
            label=None if alone else "limit" if is_limit else words_of(name),
            marker="o" if len(history["step"]) == 1 else None,
        )
    if best is not None:
        axes.axvline(best, color=grey(0.4), linestyle=":", label=None if alone else "best step")
    axes.set(xlabel="updates", ylabel=what or (words_of(shown[0]) if alone else ""))
    if axes.get_legend_handles_labels()[0]:
        above(axes)


def _is_positive(history: Mapping[str, np.ndarray], shown: Sequence[str]) -> bool:
    values = np.concatenate([history[name] for name in shown])
    values = values[np.isfinite(values)]
    return bool(len(values) and values.min() > 0)
