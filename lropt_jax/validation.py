"""What may be given: numbers checked when concrete and passed on when traced, names, packages.

Every refusal of the package is worded with what stands here.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.machinery
import importlib.util
import inspect
import itertools
import math
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import jax
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
Number = Any  # float, int, NumPy or JAX scalar, tracer


@dataclasses.dataclass(frozen=True)
class Constraint:
    """The interval in which a concrete number must lie, and its words in an error.

    Attributes:
      allowed: the words.
      low, high: the ends.
      ends: "[]", "[)", "(]" or "()": whether it holds them.
      counts: whether the number counts updates: a whole one stays an int, exact beyond 2^24.
      varies: whether a schedule, or a plain callable of count, may stand there too.
    """

    allowed: str
    low: float = -math.inf
    high: float = math.inf
    ends: str = "[]"
    counts: bool = False
    varies: bool = False

    def check(self, name: str, value: Any) -> None:
        """Raises `ValueError` naming `name`, its value and what is allowed; tracers pass."""
        if value is None or isinstance(value, jax.core.Tracer):
            return
        try:
            array = np.asarray(value, dtype=np.float64)
        except OverflowError:  # Python's ints have no end
            array = np.asarray(math.inf)
        except (TypeError, ValueError):
            raise ValueError(f"{name} must be {self.allowed}, got {value!r}") from None
        above = array >= self.low if self.ends[0] == "[" else array > self.low
        below = array <= self.high if self.ends[1] == "]" else array < self.high
        if not np.all(above & below):
            raise ValueError(f"{name} must be {self.allowed}, got {value!r}")


finite = Constraint("a finite number", ends="()")
not_nan = Constraint("a number")
positive = Constraint("a finite number > 0", 0, ends="()")
non_negative = Constraint("a finite number >= 0", 0, ends="[)")
at_least_one = Constraint("a finite number >= 1", 1, ends="[)")
unit_interval = Constraint("in [0, 1]", 0, 1)
averaging = Constraint("in [0, 1)", 0, 1, "[)")

Steps = Annotated[Number, Constraint("a finite number", ends="()", counts=True)]
PositiveSteps = Annotated[Number, Constraint("a finite number > 0", 0, ends="()", counts=True)]
NonNegativeSteps = Annotated[Number, Constraint("a finite number >= 0", 0, ends="[)", counts=True)]
Finite = Annotated[Number, finite]
Varying = Annotated[Any, Constraint("a finite number", ends="()", varies=True)]
Positive = Annotated[Number, positive]
NonNegative = Annotated[Number, non_negative]
AtLeastOne = Annotated[Number, at_least_one]
UnitInterval = Annotated[Number, unit_interval]
Averaging = Annotated[Number, averaging]


def requires(check: Callable[..., None]) -> Callable[[F], F]:
    """A condition between the arguments of a schedule or of an optimizer's factory.

    Args:
      check: called with all arguments, when they are given and, for an optimizer, when one is
        set; raises `ValueError`. A number may also be a tracer, a schedule or a population's.

    Example:
      >>> from lropt_jax import schedule
      >>> from lropt_jax.validation import requires
      >>> def in_order(low, high):
      ...     if low > high:
      ...         raise ValueError(f"low must be at most high = {high}, got {low}")
      >>> @schedule
      ... @requires(in_order)
      ... def switching(count, low, high):
      ...     return low + (high - low) * (count % 2)
      >>> switching(1.0, 0.0)
      Traceback (most recent call last):
      ...
      ValueError: low must be at most high = 0.0, got 1.0
    """

    def decorate(function: F) -> F:
        function.requirements = (*requirements(function), check)  # type: ignore[attr-defined]
        return function

    return decorate


def requirements(function: Callable[..., Any]) -> tuple[Callable[..., None], ...]:
    """The conditions between the arguments of `function`, see `requires`."""
    found: tuple[Callable[..., None], ...] = getattr(function, "requirements", ())
    return found


@dataclasses.dataclass(frozen=True)
class InOrder:
    """For `requires`: of two concrete numbers, `low` must not be above `high`."""

    low: str
    high: str

    def __call__(self, **arguments: Any) -> None:
        low, high = arguments[self.low], arguments[self.high]
        concrete = all(is_number(x) and not isinstance(x, jax.core.Tracer) for x in (low, high))
        if concrete and np.any(np.asarray(low) > np.asarray(high)):
            raise ValueError(f"{self.low} must be at most {self.high} = {high!r}, got {low!r}")


def is_number(value: Any) -> bool:
    """Whether `value` is what a traced scalar may stand for: a float, an int, an array."""
    if isinstance(value, (bool, np.bool_)):
        return False
    if isinstance(value, (np.ndarray, np.generic, jax.Array, jax.core.Tracer)):
        dtype = value.dtype  # of bfloat16 too, which NumPy does not know as a number
        return bool(
            jax.numpy.issubdtype(dtype, np.floating) or jax.numpy.issubdtype(dtype, np.integer)
        )
    return isinstance(value, (int, float))


def is_scalar(value: Any) -> bool:
    """Whether `value` is one number: it can differ between lanes, and has a place on an axis."""
    return is_number(value) and np.ndim(value) == 0


def ascending(name: str, boundaries: Any, one_less_than: tuple[str, Any]) -> None:
    """Raises `ValueError` unless concrete `boundaries` ascend and are one fewer than the others."""
    what, items = one_less_than
    if len(items) != len(boundaries) + 1:
        raise ValueError(
            f"{name} must be one fewer than {what}, got {len(boundaries)} for {len(items)} {what}"
        )
    if isinstance(boundaries, jax.core.Tracer):
        return
    for before, after in itertools.pairwise(boundaries):
        traced = any(isinstance(x, jax.core.Tracer) for x in (before, after))
        if not traced and np.any(np.asarray(after) < np.asarray(before)):
            raise ValueError(f"{name} must be ascending, got {float(after)} after {float(before)}")


MOST = 1_000_000  # of what is kept one by one: seeds, trials, rungs; beyond, memory ends first


def whole_number(
    name: str, value: Any, least: int = 1, allowed: str = "", few: bool = False
) -> int:
    """`value` as an int; a float without a fraction is a whole number too.

    Args:
      name: what the error calls it.
      value: anything.
      least: the smallest that is allowed.
      allowed: what else the error says is allowed (" or None").
      few: whether it counts what is kept one by one. See `check_few`.

    Raises:
      ValueError: for anything that is not a whole number of at least `least`; for too large a one.
    """
    try:
        whole = int(value)
        if isinstance(value, (bool, str)) or whole != value or whole < least:
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        words = f"{name} must be a whole number >= {least}{allowed}, got {value!r}"
        raise ValueError(words) from None
    if few:
        check_few(name, whole)
    return whole


def check_few(what: str, count: int, most: int = MOST, instead_do: str = "") -> None:
    """Raises `ValueError` where there would be more of something than are kept one by one.

    Args:
      what: their name.
      count: how many there would be.
      most: how many there may be.
      instead_do: what to do then.
    """
    if count > most:
        way = f": {instead_do}" if instead_do else ""
        raise ValueError(f"{what} must be at most {most:,}, got {count:,}{way}")


def check_transformation(name: str, value: Any) -> None:
    """Raises `TypeError` for what is no optimizer, a factory that was not called for example."""
    if not (hasattr(value, "init") and hasattr(value, "update")):
        hint = f"{getattr(value, '__name__', 'adam')}(1e-3)" if callable(value) else "adam(1e-3)"
        raise TypeError(f"{name} must be an Optax transformation like {hint}, got {value!r}")


def check_factory(optimizer: Any, of: str = "named numbers") -> None:
    """Raises `TypeError` for what is no function; an optimizer that is built already, for example.

    Args:
      optimizer: an argument of that name.
      of: what it must be a function of.
    """
    if not callable(optimizer):
        raise TypeError(
            f"optimizer must be a function of {of} that returns a transformation (adam, "
            f"not adam(1e-3)), got {optimizer!r}"
        )


def check_entries(what: str, given: Any) -> None:
    """Raises `ValueError` unless names are mapped to a factory and its space.

    Args:
      what: the argument.
      given: its value.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"{what} must map names to (factory, space), got {type(given).__name__}")
    for name, entry in given.items():
        if not isinstance(name, str):
            raise ValueError(f"{what} must be named by strings, got {name!r}")
        pair = isinstance(entry, (tuple, list)) and len(entry) == 2
        if not pair or not callable(entry[0]):
            raise ValueError(
                f"{what}[{name!r}] must be (factory, space), a function of named numbers and "
                f"what they may be, got {entry!r}"
            )


def first_line(error: BaseException) -> str:
    """An error as one line without its full stop; some have no words at all."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}".rstrip(" .:")


def names(given: str | Iterable[str]) -> tuple[str, ...]:
    """Names that are given one after another; a string is one name, not its letters."""
    return (given,) if isinstance(given, str) else tuple(given)


LISTED = 40  # names at most that an error lists


def unknown(what: str, name: Any, known: Iterable[str]) -> str:
    """The words of an error about a name that nobody knows: the nearest one, and all there are.

    Args:
      what: what it should name ("optimizer").
      name: what was given.
      known: the names there are.
    """
    given = repr(name)
    if len(given) > 80 and not isinstance(name, str):  # arrays: nobody finds the words behind them
        given = f"({type(name).__name__})"
    return f"unknown {what} {given}{instead(name, list(known))}"


def check_name(what: str, name: Any, known: Collection[str]) -> None:
    """Raises `ValueError` for anything that is none of the known names. See `unknown`."""
    if not isinstance(name, str) or name not in known:
        raise ValueError(unknown(what, name, known))


def instead(name: Any, known: Sequence[str], meant: Iterable[str] = ()) -> str:
    """The end of an error about an unknown name.

    Args:
      name: what was given.
      known: the names there are.
      meant: names that it may stand for, however little they look alike.
    """
    near = [m for m in meant if m in known] or difflib.get_close_matches(str(name), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    if len(known) > LISTED:  # a whole package: nobody reads that
        alike = difflib.get_close_matches(str(name), known, n=6, cutoff=0.5)
        others = f", others are {', '.join(alike[1:])}" if len(alike) > 1 else ""
        return f"{hint} There are {len(known)}{others}"
    return f"{hint} Known: {', '.join(known) or 'none'}"


def require(what: str, extra: str, *packages: str) -> None:
    """Finds out, before any work, whether the packages can be imported that it needs.

    Args:
      what: what needs them ("a figure").
      extra: the extra of this package that installs them.
      packages: by the names that they are imported by.

    Raises:
      ImportError: for the first that is missing; it says what to install. For one that is there and
        fails as it is imported (of a release that does not go with this JAX, say): its own reason.
    """
    for package in packages:
        importable(what, package, f"pip install 'lropt-jax[{extra}]'")


def importable(what: str, package: str, remedy: str) -> None:
    """The same for one package, and in your own words what to do where it is missing."""
    if not installed(package):
        raise ImportError(f"{what} needs {package}: {remedy}")
    try:
        with warnings.catch_warnings():  # tqdm's, in a notebook: no fault of what was asked for
            warnings.filterwarnings("ignore", "IProgress not found")
            importlib.import_module(package)
    except Exception as error:  # whatever it raises: old releases fail with AttributeError, too
        raise ImportError(
            f"{what} needs {package}, which is installed but cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error


def caution(words: str) -> None:
    """Warns; the line that is shown is the one that called the package, however deep this is."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and f"{frame.f_globals.get('__name__')}.".startswith("lropt_jax."):
        level, frame = level + 1, frame.f_back
    warnings.warn(words, UserWarning, stacklevel=level)


def installed(package: str) -> bool:
    """Whether a package is there, by the name that it is imported by; nothing is imported."""
    name, *inner = package.split(".")
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # a finder that refuses
        return False
    except ValueError:  # loaded already, and without a spec
        return True
    for part in inner:
        if spec is None or spec.submodule_search_locations is None:
            return False
        name = f"{name}.{part}"
        spec = importlib.machinery.PathFinder.find_spec(name, spec.submodule_search_locations)
    return spec is not None
