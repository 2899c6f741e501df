"""Can a factory take its numbers as data? Found out by tracing it, and said by name if not."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp

from lropt_jax.schedules.base import value_at
from lropt_jax.schedules.counts import float_type
from lropt_jax.validation import first_line


class NotData(ValueError):
    """Numbers of a factory that cannot be data, by their `names`."""

    def __init__(self, names: Collection[str], error: Exception):
        self.names = list(names)
        super().__init__(
            f"the factory fails when {', '.join(names)} is data (a traced number): "
            f"{first_line(error)}. What it has to know when it is called is named: "
            f"tunable(factory, static={self.names})"
        )


# Factories that are known to build with these names traced.
_known: weakref.WeakKeyDictionary[Callable[..., Any], set[frozenset[str]]] = (
    weakref.WeakKeyDictionary()
)
Use = Callable[[Mapping[str, Any], Any], Any]  # of numbers and a count


def try_building(
    factory: Callable[..., Any],
    plain: Callable[[Mapping[str, Any]], Any],
    build: Use,
    given: Mapping[str, Any],
) -> None:
    """Builds a transformation once from the numbers as given and once from traced ones.

    So what the factory is made of refuses a number at once, and a number that is no data is
    found before anything is compiled.

    Args:
      factory: the factory.
      plain: calls it with all its numbers.
      build: makes the transformation from all its numbers and the count.
      given: the numbers, tracers and schedules as they were given.

    Raises:
      NotData: for numbers that cannot be.
    """
    if any(callable(x) or isinstance(x, jax.core.Tracer) for x in given.values()):
        attempt(build, given)
    else:
        plain(given)  # far faster than to trace it, and a sweep does so for each of its trials
    names, known = frozenset(given), _known_of(factory)
    if names not in known:
        try:
            attempt(build, given, names)
        except Exception as error:
            _blame(build, given, error)
        known.add(names)


def _known_of(factory: Callable[..., Any]) -> set[frozenset[str]]:
    try:
        return _known.setdefault(factory, set())
    except TypeError:  # no key of a dict (a dataclass, say): it is tried each time
        return set()


@contextmanager
def explained(use: Use, given: Mapping[str, Any]) -> Iterator[None]:
    """Says by name which numbers cannot be data, where a transformation fails because they are.

    Args:
      use: builds the transformation as above, and does with it what is done inside.
      given: the numbers, tracers and schedules as they were given.
    """
    try:
        yield
    except Exception as error:
        if _works(use, given, given):  # it is no matter of what it is given
            raise
        _blame(use, given, error)


def attempt(use: Use, given: Mapping[str, Any], traced: Collection[str] = ()) -> None:
    """Builds a transformation, some of whose numbers are traced, and the count."""

    def abstractly(values: Mapping[str, Any], count: Any) -> None:
        others = {name: value_at(v, count) for name, v in given.items() if name not in values}
        use({**others, **values}, count)

    # What is callable is evaluated at a count that is traced, as it will be.
    shapes = {
        name: jax.ShapeDtypeStruct((), _dtype(given[name]))  # type: ignore[no-untyped-call]
        for name in traced
        if not callable(given[name])
    }
    count = jax.ShapeDtypeStruct((), jnp.int32)  # type: ignore[no-untyped-call]
    jax.eval_shape(abstractly, shapes, count)


def _dtype(number: Any) -> Any:
    tells = hasattr(number, "dtype") and jnp.issubdtype(number.dtype, jnp.integer)
    return jnp.int32 if tells else float_type()


def _blame(use: Use, given: Mapping[str, Any], error: Exception) -> None:
    """Raises for the fewest numbers that have to be static; as it was where that does not help."""
    concrete = {
        name: v.item() if hasattr(v, "item") else v  # also an array would be traced
        for name, v in given.items()
        if not (callable(v) or isinstance(v, jax.core.Tracer))
    }
    given = {**given, **concrete}
    static = list(concrete)
    if not static or not _works(use, given, set(given) - set(static)):
        raise error
    for name in concrete:
        fewer = [other for other in static if other != name]
        if _works(use, given, set(given) - set(fewer)):
            static = fewer
    raise NotData(static, error) from error


def _works(use: Use, given: Mapping[str, Any], traced: Collection[str]) -> bool:
    try:
        attempt(use, given, traced)
    except Exception:
        return False
    return True
