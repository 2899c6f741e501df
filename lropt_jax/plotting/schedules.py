"""The figure of schedules, value over updates: of any number or function of the count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.plotting.style import colours, grey, size, style

POINTS = 2000  # of a curve: more than a figure has columns
DEFAULT_STEPS = 100  # where no number of a schedule says how long it takes
PAGE = 8.6  # inches at most: what is wider cannot be read in a page
TOGETHER = 6  # curves at most that one panel shows
REACTS = "reacts to the loss: drawn as if it kept falling"
ALIKE = 10.0  # how many times as high, or as long, one may be as another in one panel


def plot_schedules(
    schedules: Any, steps: int | None = None, log: bool = False, ax: Any = None
) -> Any:
    """Draws schedules: in one panel while they are few and alike, else in one each.

    A schedule that reacts to the loss (`reduce_on_plateau`) is dashed, and said to be drawn as if
    the loss kept falling: what it does depends on the training.

    When to use:
      To see schedules before you train with them. Those that observe are drawn as if nothing
      were ever observed.

    Args:
      schedules: a schedule, several, or several by the name that labels them (otherwise their
        `repr` does); plain callables of count and numbers too. A constructor of the package
        (`one_cycle` itself, all of `SCHEDULES`) is drawn with example numbers.
      steps: how many updates to draw; None: as many as it takes, in one panel as many as the
        longest takes.
      log: whether the values are drawn on a logarithmic axis.
      ax: matplotlib axes to draw all of them into; None: a new figure.

    Returns:
      The matplotlib figure.

    Raises:
      ValueError: without a schedule, or for `steps < 1`.
      TypeError: for what is no schedule; a constructor of your own, of which no example is known.
      ImportError: without matplotlib; it names the extra that installs it.

    See also:
      `plot_paths`, `SCHEDULES`.

    Example:
      >>> from lropt_jax import SCHEDULES, cosine_decay, plot_schedules, warmup
      >>> figure = plot_schedules({"warm": warmup(cosine_decay(0.1, 90), 10)})
      >>> figure.axes[0].get_xlabel()
      'updates'
      >>> len(plot_schedules(SCHEDULES).axes)
      20
    """
    named = named_schedules(schedules)
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    longest = common_horizon(named.values()) if steps is None else steps
    curves = {name: sample(schedule, longest) for name, schedule in named.items()}
    if ax is None and _apart(named.values(), [values for _, values in curves.values()]):
        return _panels(named, steps, log)
    with style() as figure:
        fig = figure(figsize=size(7.2, 4.2), layout="constrained") if ax is None else ax.figure
        axes = fig.subplots() if ax is None else ax
        colour = colours(named)
        for name, (counts, values) in curves.items():
            reacts = _reacts(named[name])
            label = _wrapped(f"{name} ({REACTS})" if reacts else name, 88)
            line = "--" if reacts else "-"
            axes.plot(counts, values, line, color=colour[name], linewidth=1.8, label=label)
        axes.set(xlabel="updates", ylabel="value", yscale="log" if log else "linear")
        axes.margins(x=0.01)
        axes.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return fig


def _panels(named: Mapping[str, Any], steps: int | None, log: bool) -> Any:
    """Small multiples: a panel a schedule, each on its own scale and over its own updates."""
    columns = min(4, math.ceil(math.sqrt(len(named))))
    rows = math.ceil(len(named) / columns)
    width = min(2.9, PAGE / columns)
    with style() as figure:
        fig = figure(figsize=(width * columns, 1.9 * rows + 0.4), layout="constrained")
        panels = fig.subplots(rows, columns, squeeze=False).ravel()
        colour = colours(["one"])["one"]
        for axes, (name, schedule) in zip(panels, named.items(), strict=False):
            counts, values = sample(schedule, steps or common_horizon([schedule]))
            reacts = _reacts(schedule)
            axes.plot(counts, values, "--" if reacts else "-", color=colour, linewidth=1.6)
            if reacts:
                axes.text(
                    0.5, 0.5, REACTS.replace(": ", ":\n"), transform=axes.transAxes, fontsize=8,
                    ha="center", va="center", color=grey(0.3),
                )  # fmt: skip
            axes.set_title(_wrapped(name, int(11.7 * width)), fontsize=9, fontweight="normal")
            axes.set_yscale("log" if log else "linear")
            if not log and np.ptp(values) == 0 and values[0] > 0:  # else ticks of the last bit
                axes.set_ylim(0.0, 1.3 * values[0])
            axes.margins(x=0.01)
            axes.tick_params(labelsize=8)
        for axes in panels[len(named) :]:
            axes.remove()
        fig.supxlabel("updates", fontsize=10)
        fig.supylabel("value", fontsize=10)
    return fig


def _reacts(schedule: Any) -> bool:
    """Whether a schedule observes the training, which a drawing has none of."""
    return bool(getattr(schedule, "observes", False))


def _apart(schedules: Any, curves: list[np.ndarray]) -> bool:
    """Whether there are too many for one panel, or some too unlike in size or in length."""
    tops = [float(np.abs(values[np.isfinite(values)]).max(initial=0)) for values in curves]
    lengths = [horizon(s) for s in schedules]
    return len(curves) > TOGETHER or any(
        max(sizes) > ALIKE * min(sizes)
        for sizes in ([x for x in all_sizes if x > 0] for all_sizes in (tops, lengths))
        if len(sizes) > 1
    )


def named_schedules(schedules: Any) -> dict[str, Any]:
    """Schedules by the name that labels them: the one given, or their repr, numbered if twice."""
    if isinstance(schedules, Mapping):
        named = {str(name): _drawable(s) for name, s in schedules.items()}
    else:
        several = isinstance(schedules, Sequence)
        named = {}
        for s in map(_drawable, schedules if several else [schedules]):
            label = _label(s)
            named[label if label not in named else f"{label} ({len(named) + 1})"] = s
    if not named:
        raise ValueError("schedules must hold at least one, got none")
    return named


def _drawable(schedule: Any) -> Any:
    """What can be drawn: a constructor becomes its example."""
    if hasattr(schedule, "example"):
        return schedule.example()
    if hasattr(schedule, "recipe"):
        name = schedule.__name__
        raise TypeError(f"{name} makes schedules: give it its numbers, {name}(...)")
    if not callable(schedule) and np.ndim(schedule):
        raise TypeError(f"a schedule must be a number or a function of count, got {schedule!r}")
    return schedule


def _label(schedule: Any) -> str:
    return str(getattr(schedule, "__qualname__", repr(schedule))).replace(".<locals>", "")


def sample(schedule: Any, steps: int, points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """The counts of so many updates, from 0 on, at most `points` of them, and the values there.

    At the count `steps` no update is taken: a schedule that cycles would begin anew there.
    """
    counts = np.unique(np.linspace(0, steps - 1, min(points, steps)).round().astype(np.int32))
    if not callable(schedule):
        return counts, np.full(len(counts), float(schedule))
    try:
        values = np.asarray(jax.jit(jax.vmap(schedule))(jnp.asarray(counts)), float)
    except TypeError:  # plain Python that asks a count how large it is
        values = np.array([float(schedule(int(count))) for count in counts])
    return counts, values


def common_horizon(schedules: Any) -> int:
    """Enough updates for the longest of the schedules."""
    return max([math.ceil(horizon(s)) for s in schedules if horizon(s)] or [DEFAULT_STEPS])


def horizon(schedule: Any) -> float:
    """How many updates a schedule takes, as far as its name and its numbers say so; some cycles
    or drops of one without end; 0 when nothing says so."""
    arguments: Mapping[str, Any] = getattr(schedule, "arguments", {})
    if not arguments:
        return 0.0
    given = {k: v for k, v in arguments.items() if np.ndim(v) == 0 and not callable(v)}

    def total(*names: str) -> float:
        return float(sum(given[n] for n in names if given.get(n) is not None))

    inner = horizon(arguments.get("schedule"))
    match getattr(schedule, "name", None):
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
            return 1.25 * _last(arguments["boundaries"])
        case "sequence":
            last = horizon(arguments["schedules"][-1])
            return _last(arguments["boundaries"]) + (last or DEFAULT_STEPS / 4)
        case "product":
            return max(horizon(v) for v in arguments.values())
    return inner


def _last(boundaries: Any) -> float:
    return float(boundaries[-1]) if len(boundaries) else float(DEFAULT_STEPS)


def _wrapped(label: str, width: int) -> str:
    """A long repr in two or more lines, broken after a comma."""
    lines, line = [], ""
    for part in label.split(", "):
        if line and len(line) + len(part) > width:
            lines.append(line + ",")
            line = part
        else:
            line = f"{line}, {part}" if line else part
    return "\n".join([*lines, line])
