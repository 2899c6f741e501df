"""The figure of optimizers on functions of two numbers: small multiples of their paths."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.plotting.style import colours, grey, ink, is_dark, style
from lropt_jax.plotting.surfaces import (
    Surface,
    Way,
    surfaces,
    ways,
    with_and_without_momentum,
)
from lropt_jax.validation import whole_number

RATES = np.geomspace(1e-4, 10.0, 31)  # six to a decade
COLUMNS = 3  # a page shows 700 pixels: letters of more would not be read


def plot_paths(
    optimizers: Any,
    functions: Any = ("valley", "beale", "rosenbrock"),
    steps: int = 200,
    momentum: float | None = 0.9,
    rates: Any = RATES,
    start: Any = None,
    frame: Any = None,
) -> Any:
    """Draws the paths of optimizers on functions of two numbers, a panel each.

    Of a constructor (`adam` itself, all of `OPTIMIZERS`) each panel shows the best of many learning
    rates, all tried in one program, which its title says; with momentum and without, where it has
    any. A built transformation (`adam(0.1)`) is drawn as it is.

    A picture of two numbers shows how a rule turns and swings; it does not show which is best on a
    network, with its millions of numbers and its noise.

    When to use:
      To see how optimizers move in a valley, in teaching. Two dimensions without noise say
      nothing about which is better on a net.

    Args:
      optimizers: one, several, or several by name: constructors, functions of a learning rate, or
        Optax transformations.
      functions: "valley" (a quadratic whose curvatures differ by 50), "beale", "rosenbrock", a
        function of your own of an array (2,), or several of these.
      steps: updates.
      momentum: of the constructors that have an argument `momentum` or `b1`, drawn beside 0; None
        leaves them as they are.
      rates: the learning rates of which the best is shown: that with the lowest mean logarithm of
        the height above the minimum, among those whose path stays in the frame, if any does.
      start: two numbers to begin at, needed by a function of your own.
      frame: the part of the plane, ((left, right), (bottom, top)); by default one around the
        minimum, or around the paths.

    Returns:
      The matplotlib figure: a row an optimizer and a column a function; for one function a grid of
      optimizers.

    Raises:
      ValueError: without an optimizer; for an unknown function, `steps < 1`, rates that are not
        positive; for a function of your own without `start`.
      ImportError: without matplotlib; it names the extra that installs it.

    See also:
      `plot_schedules`, `OPTIMIZERS`.

    Example:
      >>> from lropt_jax import adam, plot_paths, sgd
      >>> figure = plot_paths({"sgd": sgd, "adam": adam}, "rosenbrock")
      >>> [axes.get_title("left") for axes in figure.axes]
      ['sgd', 'adam']
      >>> def bowl(w):
      ...     return w[0] ** 2 + 3 * w[1] ** 2
      >>> len(plot_paths(sgd(0.1), bowl, start=(2, 1)).axes)
      1
    """
    named = _named(optimizers)
    whole_number("steps", steps)
    tried = np.atleast_1d(np.asarray(rates, float))
    if tried.ndim != 1 or not len(tried) or not (np.isfinite(tried) & (tried > 0)).all():
        raise ValueError(f"rates must be positive numbers, got {rates!r}")
    places = surfaces(functions, start, frame)
    with style() as figure:
        walked = {
            name: {
                words: ways(each, places, steps, tried)
                for words, each in with_and_without_momentum(make, momentum).items()
            }
            for name, make in named.items()
        }
        one = len(places) == 1
        columns = min(COLUMNS, len(named)) if one else len(places)
        rows = math.ceil(len(named) / columns) if one else len(named)
        every = [way for of in walked.values() for some in of.values() for way in some]
        height = 2.3 if all(way.rate is None for way in every) else 2.6  # a legend says the rates
        fig = figure(figsize=(2.6 * columns + 0.3, height * rows + 0.4), layout="constrained")
        panels = fig.subplots(rows, columns, squeeze=False)
        for number, (name, found) in enumerate(walked.items()):
            for i, surface in enumerate(places):
                axes = panels.ravel()[number] if one else panels[number, i]
                title = name if one else f"{name}: {surface.name}"
                _panel(axes, surface, {words: way[i] for words, way in found.items()}, title)
        for axes in panels.ravel()[len(named) :] if one else ():
            axes.remove()
        if one:
            fig.suptitle(places[0].name, fontsize=11, x=0.01, ha="left")
    return fig


def _named(optimizers: Any) -> dict[str, Any]:
    if isinstance(optimizers, Mapping):
        named = {str(name): make for name, make in optimizers.items()}
    else:
        several = isinstance(optimizers, Iterable) and not (
            isinstance(optimizers, optax.GradientTransformation) or callable(optimizers)
        )
        named = {}
        for i, make in enumerate(optimizers if several else [optimizers]):
            label = getattr(make, "__name__", None) or f"optimizer {i + 1}"
            named[label if label not in named else f"{label} ({i + 1})"] = make
    if not named:
        raise ValueError("optimizers must hold at least one, got none")
    for name, make in named.items():
        if not isinstance(make, optax.GradientTransformation) and not callable(make):
            raise TypeError(
                f"optimizers: {name} must be a constructor or a transformation, got {make!r}"
            )
    return named


def _panel(axes: Any, surface: Surface, found: Mapping[str, Way], title: str) -> None:
    (left, right), (bottom, top) = surface.frame or _around([w.points for w in found.values()])
    axes.set(xlim=(left, right), ylim=(bottom, top))
    _contours(axes, surface.function, surface.lowest)
    axes.grid(visible=False)
    axes.tick_params(labelsize=7)
    axes.set_title(title, fontsize=9)
    if surface.minimum is not None:
        axes.plot(*surface.minimum, "*", color=ink(), markersize=9, zorder=4)
    axes.plot(*surface.start, "o", color=ink(), markersize=4, zorder=4)
    colour = colours(found)
    for words, way in found.items():
        seen = way.points[np.cumprod(np.isfinite(way.points).all(axis=1)).astype(bool)]
        rate = "" if way.rate is None else f"rate {way.rate:.2g}"
        axes.plot(
            seen[:, 0], seen[:, 1], ".-", color=colour[words], linewidth=1.1, markersize=2.5,
            alpha=0.9, label=", ".join(filter(None, (words, rate))), clip_on=True,
        )  # fmt: skip
    if any(way.rate is not None for way in found.values()):
        axes.legend(
            fontsize=7.5, loc="upper left", bbox_to_anchor=(0.0, -0.09), handlelength=1.2,
            borderaxespad=0.0, labelspacing=0.2,
        )  # fmt: skip


def _contours(axes: Any, function: Callable[[Any], Any], lowest: float | None) -> None:
    """Lines of equal height, close together near the minimum: even in the logarithm."""
    x, y = (np.linspace(low, high, 120) for low, high in (axes.get_xlim(), axes.get_ylim()))
    grid = jnp.asarray(np.stack(np.meshgrid(x, y), axis=-1))
    height = np.asarray(jax.vmap(jax.vmap(function))(grid), float)
    finite = height[np.isfinite(height)]
    if not len(finite) or np.ptp(finite) == 0:
        return
    low = float(finite.min()) if lowest is None else lowest
    above = np.log10(np.maximum(height - low, 1e-3 * np.ptp(finite)))
    axes.contourf(
        x, y, above, levels=14, cmap="Greys_r" if is_dark() else "Greys", alpha=0.35, zorder=0
    )
    axes.contour(x, y, above, levels=14, colors=[grey(0.6)], linewidths=0.4, zorder=0.5)


def _around(paths: Sequence[np.ndarray]) -> tuple[tuple[float, float], tuple[float, float]]:
    points = np.concatenate([path[np.isfinite(path).all(axis=1)] for path in paths])
    low, high = points.min(axis=0), points.max(axis=0)
    room = 0.15 * np.where(high > low, high - low, 1.0)
    (left, bottom), (right, top) = low - room, high + room
    return (float(left), float(right)), (float(bottom), float(top))
