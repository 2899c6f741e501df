"""Functions of two numbers that optimizers are looked at on, and the ways they take there."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.validation import check_name

Frame = tuple[tuple[float, float], tuple[float, float]]


class Surface(NamedTuple):
    """A function of two numbers.

    Attributes:
      name: its own.
      function: of an array (2,).
      start: where an optimizer begins.
      minimum: where the function is lowest, or None where nobody says.
      frame: the part of the plane that is drawn, ((left, right), (bottom, top)), or None: where
        the ways lie.
    """

    name: str
    function: Callable[[Any], Any]
    start: tuple[float, float]
    minimum: tuple[float, float] | None
    frame: Frame | None

    @property
    def lowest(self) -> float | None:
        """The function at its minimum."""
        return None if self.minimum is None else float(self.function(jnp.array(self.minimum)))


def _valley(w: Any) -> Any:
    return 0.5 * (w[0] ** 2 + 50.0 * w[1] ** 2)


def _beale(w: Any) -> Any:
    x, y = w[0], w[1]
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def _rosenbrock(w: Any) -> Any:
    return (1.0 - w[0]) ** 2 + 100.0 * (w[1] - w[0] ** 2) ** 2


SURFACES = {
    surface.name: surface
    for surface in (
        Surface("valley", _valley, (-4.0, 1.2), (0.0, 0.0), ((-4.6, 2.2), (-1.6, 1.6))),
        Surface("beale", _beale, (1.0, 1.5), (3.0, 0.5), ((-0.5, 4.3), (-1.0, 2.0))),
        Surface("rosenbrock", _rosenbrock, (-1.2, 1.0), (1.0, 1.0), ((-1.9, 1.7), (-0.8, 2.2))),
    )
}


def surfaces(functions: Any, start: Any, frame: Any) -> list[Surface]:
    """What is given as surfaces: a name, a function of an array (2,), or several of these."""
    several = isinstance(functions, Sequence) and not isinstance(functions, str)
    found = []
    for given in functions if several else [functions]:
        if isinstance(given, str):
            check_name("function", given, SURFACES)
            surface = SURFACES[given]
        elif callable(given):
            if start is None:
                raise ValueError("start must be given for a function of your own, two numbers")
            name = getattr(given, "__name__", "f")
            surface = Surface("f" if name == "<lambda>" else name, given, (0.0, 0.0), None, None)
        else:
            raise TypeError(
                f"functions must be {', '.join(SURFACES)} or a function of an array of two "
                f"numbers, got {given!r}"
            )
        if start is not None:
            surface = surface._replace(start=_pair("start", start))
        if frame is not None:
            across, up = frame
            surface = surface._replace(frame=(_pair("frame", across), _pair("frame", up)))
        shape = jax.eval_shape(surface.function, jnp.zeros(2)).shape
        if shape != ():
            raise ValueError(f"functions: {surface.name} must return one number, got shape {shape}")
        found.append(surface)
    if not found:
        raise ValueError("functions must hold at least one")
    return found


def _pair(name: str, value: Any) -> tuple[float, float]:
    numbers = np.asarray(value, float)
    if numbers.shape != (2,) or not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be two finite numbers, got {value!r}")
    return float(numbers[0]), float(numbers[1])


class Way(NamedTuple):
    """What one optimizer does on one surface.

    Attributes:
      points: where it is before each update and after the last one, (steps + 1, 2).
      rate: the learning rate, or None for a transformation that was built already.
    """

    points: np.ndarray
    rate: float | None


def ways(make: Any, places: Sequence[Surface], steps: int, rates: np.ndarray) -> list[Way]:
    """One optimizer on each surface, all rates at once; of these the one that does best.

    What does best has the lowest mean logarithm of the function's height above its minimum over
    the way: it is there early, and it stays. Ways that stay in the frame come before others.

    Args:
      make: a transformation, or a function of a learning rate that returns one.
      places: the surfaces.
      steps: updates.
      rates: the learning rates that are tried.
    """
    built = isinstance(make, optax.GradientTransformation)

    def heights(w: Any) -> Any:
        return jnp.stack(
            [jnp.asarray(s.function(x), float) for s, x in zip(places, w, strict=True)]
        )

    def walk(rate: Any) -> Any:
        tx = optax.with_extra_args_support(make if built else make(rate))
        begin = jnp.array([s.start for s in places], float)

        def update(carry: Any, _: Any) -> Any:
            w, state = carry
            height, back = jax.vjp(heights, w)
            (gradient,) = back(jnp.ones_like(height))

            def one(g: Any, s: Any, x: Any, value: Any) -> Any:
                updates, s = tx.update(g, s, x, value=value, grad=g, value_fn=None)
                return optax.apply_updates(x, updates), s

            return jax.vmap(one)(gradient, state, w, height), (w, height)

        state = jax.vmap(tx.init)(begin)
        (last, _), (w, height) = jax.lax.scan(update, (begin, state), length=steps)
        return jnp.concatenate([w, last[None]]), jnp.concatenate([height, heights(last)[None]])

    tried = jnp.zeros(1) if built else jnp.asarray(rates, float)
    points, height = map(np.asarray, jax.jit(jax.vmap(walk))(tried))  # (rates, steps + 1, places)
    found = []
    for i, surface in enumerate(places):
        seen = height[:, :, i]
        low = surface.lowest
        if low is None:
            finite = seen[np.isfinite(seen)]
            low = float(finite.min()) if len(finite) else 0.0
        with np.errstate(invalid="ignore", over="ignore"):
            score = np.log(np.maximum(seen - low, 0.0) + 1e-8).mean(axis=1)
        usable = np.isfinite(score)
        inside = usable & _inside(points[:, :, i], surface.frame)
        usable = inside if inside.any() else usable
        best = int(np.argmin(np.where(usable, score, np.inf)))
        found.append(Way(points[best, :, i], None if built else float(tried[best])))
    return found


def _inside(points: np.ndarray, frame: Frame | None) -> np.ndarray:
    """Which ways, (ways, steps + 1, 2), stay where one sees them."""
    if frame is None:
        return np.ones(len(points), bool)
    low, high = np.array(frame).T
    inside: np.ndarray = ((points >= low) & (points <= high)).all(axis=(1, 2))
    return inside


def with_and_without_momentum(make: Any, momentum: float | None) -> dict[str, Callable[..., Any]]:
    """A constructor by the words that say which: with momentum and without, if it has any."""
    if isinstance(make, optax.GradientTransformation):
        return {"": make}
    try:
        known: Mapping[str, Any] = inspect.signature(make).parameters
    except (TypeError, ValueError):
        known = {}
    name = next((n for n in ("momentum", "b1") if n in known), None)
    if momentum is None or name is None:
        return {"": make}
    return {
        f"{name} 0": lambda rate: make(rate, **{name: 0.0}),
        f"{name} {momentum:g}": lambda rate: make(rate, **{name: momentum}),
    }
