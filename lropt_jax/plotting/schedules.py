"""The figure of schedules: value over updates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from lropt_jax.plotting.style import colours, style
from lropt_jax.schedules import Schedule, as_schedule

POINTS = 2000  # of a curve: more than a figure has columns
DEFAULT_STEPS = 100  # where no number of a schedule says how long it takes


def plot_schedules(
    schedules: Schedule | Sequence[Any] | Mapping[str, Any],
    steps: int | None = None,
    log: bool = False,
    ax: Any = None,
) -> Any:
    """Draws schedules in one figure.

    Args:
      schedules: a schedule, several, or several by the name that labels them (otherwise their
        `repr` does); plain callables of count and numbers too.
      steps: how many updates to draw; None: as many as the longest of them takes.
      log: whether the values are drawn on a logarithmic axis.
      ax: matplotlib axes to draw into; None: a new figure.

    Returns:
      The matplotlib figure.

    Raises:
      ValueError: without a schedule, or for `steps < 1`.
      ImportError: without matplotlib; it names the extra that installs it.

    Example:
      >>> from lropt_jax import cosine_decay, warmup
      >>> from lropt_jax.plotting import plot_schedules
      >>> figure = plot_schedules({"warm": warmup(cosine_decay(0.1, 90), 10)})
      >>> figure.axes[0].get_xlabel()
      'updates'
    """
    named = named_schedules(schedules)
    steps = common_horizon(named.values()) if steps is None else steps
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    with style() as figure:
        fig = figure(figsize=(7.2, 4.2), layout="constrained") if ax is None else ax.figure
        axes = fig.subplots() if ax is None else ax
        colour = colours(named)
        for name, schedule in named.items():
            counts, values = sample(schedule, steps)
            axes.plot(counts, values, color=colour[name], linewidth=1.8, label=_wrapped(name))
        axes.set_xlabel("updates")
        axes.set_ylabel("value")
        if log:
            axes.set_yscale("log")
        axes.margins(x=0.01)
        axes.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return fig


def named_schedules(schedules: Any) -> dict[str, Schedule]:
    """Schedules by the name that labels them: the one given, or their repr, numbered if twice."""
    if isinstance(schedules, Mapping):
        named = {str(k): as_schedule(v) for k, v in schedules.items()}
    else:
        several = isinstance(schedules, Sequence)
        items = [as_schedule(s) for s in (schedules if several else [schedules])]
        named = {}
        for i, s in enumerate(items):
            named[repr(s) if repr(s) not in named else f"{s!r} ({i + 1})"] = s
    if not named:
        raise ValueError("schedules must hold at least one, got none")
    return named


def sample(schedule: Schedule, steps: int, points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Whole counts from 0 to `steps`, at most `points`, and the values there."""
    counts = np.unique(np.linspace(0, steps, min(points, steps + 1)).round().astype(np.int32))
    return counts, np.asarray(jax.jit(schedule)(counts))


def common_horizon(schedules: Any) -> int:
    """Enough updates for the longest of the schedules."""
    return max([math.ceil(horizon(s)) for s in schedules if horizon(s)] or [DEFAULT_STEPS])


def horizon(schedule: Any) -> float:
    """How many updates a schedule takes, as far as its numbers say so; some cycles or drops of
    one without end; 0 when nothing says so."""
    if not isinstance(schedule, Schedule):
        return 0.0
    given = {k: v for k, v in schedule.arguments.items() if np.ndim(v) == 0 and not callable(v)}

    def total(*names: str) -> float:
        return float(sum(given[n] for n in names if given.get(n) is not None))

    inner = horizon(schedule.arguments.get("schedule"))
    match schedule.name:
        case "linear" | "polynomial":
            return total("transition_begin", "transition_steps")
        case "exponential_decay" | "inverse_time_decay":
            return total("transition_begin") + 5 * max(total("transition_steps"), 20.0)
        case "step_decay":
            return 5 * total("every")
        case "cosine_decay" | "one_cycle" | "one_cycle_momentum":
            return total("decay_steps", "total_steps")
        case "warm_restarts":
            mult = total("cycle_mult")
            return total("first_cycle_steps") * (1 + mult + mult**2)
        case "cyclic":
            up, down = total("steps_up"), total("steps_down")
            return 3 * (up + (down or up))
        case "inverse_sqrt":
            return 8 * max(total("warmup_steps"), 10.0)
        case "warmup_stable_decay":
            return total("warmup_steps", "stable_steps", "decay_steps")
        case "warmup":
            return total("steps") + (inner or DEFAULT_STEPS)
        case "per_epoch":
            return total("steps_per_epoch") * (inner or DEFAULT_STEPS)
        case "piecewise_constant":
            return 1.25 * _last(schedule.arguments["boundaries"])
        case "sequence":
            last = horizon(schedule.arguments["schedules"][-1])
            return _last(schedule.arguments["boundaries"]) + (last or DEFAULT_STEPS / 4)
        case "product":
            return max(horizon(v) for v in schedule.arguments.values())
    return inner


def _last(boundaries: Any) -> float:
    return float(boundaries[-1]) if len(boundaries) else float(DEFAULT_STEPS)


def _wrapped(label: str, width: int = 88) -> str:
    """A long repr in two or more lines, broken after a comma."""
    lines, line = [], ""
    for part in label.split(", "):
        if line and len(line) + len(part) > width:
            lines.append(line + ",")
            line = part
        else:
            line = f"{line}, {part}" if line else part
    return "\n".join([*lines, line])
