"""Which adapter is a model's? The libraries that are known, in the order they are asked.

A further library is one more entry of `LIBRARIES`: how its models are recognised, without
importing it, and how one becomes a `Network`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from lropt_jax.tasks.adapters.base import Network
from lropt_jax.validation import require

KINDS = (
    "a Flax linen module, a function rngs -> nnx module (its class, if it takes no more), an "
    "Equinox module or a function key -> Equinox module, or a pair (init, apply)"
)


class Library(NamedTuple):
    """A kind of models.

    Attributes:
      recognises: whether a model is of this kind.
      adapts: the model as a network. Raises `TypeError` for one that cannot be, and says why.
    """

    recognises: Callable[[Any], bool]
    adapts: Callable[[Any], Network]


def adapt(model: Any) -> Network:
    """A model of any known library as a network.

    Raises:
      TypeError: for anything else.
      ImportError: when the model's library is not installed.
    """
    for library in LIBRARIES:
        if library.recognises(model):
            return library.adapts(model)
    raise TypeError(f"model must be {KINDS}, got {model!r}")


def _is_of(package: str) -> Callable[[Any], bool]:
    """Whether an object's class, or one that it inherits from, is defined in a package."""
    return lambda model: not isinstance(model, type) and _inherits(type(model), package)


def _inherits(cls: type, package: str) -> bool:
    return any(f"{base.__module__}.".startswith(f"{package}.") for base in cls.__mro__)


def _linen(model: Any) -> Network:
    require("a model", "flax", "flax", "flax.linen")
    from lropt_jax.tasks.adapters.linen import LinenNetwork

    return LinenNetwork(model)


def _nnx_instance(model: Any) -> Network:
    name = type(model).__name__
    raise TypeError(
        "an nnx model must be a function rngs -> module, so that each seed can make its own "
        f"weights (lambda rngs: {name}(..., rngs=rngs)), got a {name} that is made already"
    )


def _nnx_factory(make: Any) -> Network:
    require("a model", "flax", "flax", "flax.nnx")
    from lropt_jax.tasks.adapters.nnx import NnxNetwork

    if isinstance(make, type) and _inherits(make, "flax.linen"):
        raise TypeError(f"model must be {KINDS}, got the class {make!r}: give {make.__name__}(...)")
    _refuse_others(make, "rngs")
    return NnxNetwork(make)


def _with_state(model: Any) -> bool:
    """Whether it is what Equinox's `make_with_state` makes: (module, state)."""
    equinox = _is_of("equinox")
    return isinstance(model, tuple) and len(model) == 2 and all(map(equinox, model))


def _equinox_instance(model: Any) -> Network:
    require("an Equinox model", "equinox", "equinox")
    from lropt_jax.tasks.adapters.equinox import EquinoxNetwork, Made

    return EquinoxNetwork(Made(model))


def _equinox_factory(make: Any) -> Network:
    require("a function key -> module", "equinox", "equinox")
    from lropt_jax.tasks.adapters.equinox import EquinoxNetwork

    _refuse_others(make, "key")
    return EquinoxNetwork(make)


def _is_pair(model: Any) -> bool:
    return isinstance(model, tuple) and len(model) == 2 and all(map(callable, model))


def _pair(model: Any) -> Network:
    from lropt_jax.tasks.adapters.functions import FunctionsNetwork

    return FunctionsNetwork(*model)


def _torch(model: Any) -> Network:
    raise TypeError(
        f"model must be {KINDS}, got a PyTorch {type(model).__name__}, which JAX cannot trace: "
        "write it anew in one of these, and carry its optimizer over with from_torch"
    )


def _takes_key(model: Any) -> bool:
    """Whether it is a function of `key`; `equinox.nn.make_with_state(Model)` does not say so."""
    of_equinox = str(getattr(model, "__module__", "")).startswith("equinox.")
    return callable(model) and (of_equinox or "key" in _parameters(model))


def _parameters(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    # The signature of an nnx class is hidden by its metaclass.
    hidden = isinstance(make, type) and _inherits(make, "flax.nnx")
    try:
        found = dict(inspect.signature(make.__init__ if hidden else make).parameters)
    except (TypeError, ValueError):  # a builtin, which does not tell
        return {}
    if hidden:
        found.pop("self", None)
    return found


def _refuse_others(make: Any, given: str) -> None:
    """Refuses a function that needs more than it is given."""
    named = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [
        name
        for name, p in _parameters(make).items()
        if p.default is inspect.Parameter.empty and p.kind not in named
    ]
    others = [n for n in needed if n != given] if given in needed else needed[1:]
    if others:
        name = getattr(make, "__name__", "model")
        raise TypeError(
            f"{name} needs {', '.join(needed)}, a model can be given {given} alone: "
            f"lambda {given}: {name}(..., {given}={given})"
        )


LIBRARIES = [
    Library(_is_of("torch"), _torch),
    Library(_is_of("flax.linen"), _linen),
    Library(_is_of("flax.nnx"), _nnx_instance),
    Library(lambda model: _is_of("equinox")(model) or _with_state(model), _equinox_instance),
    Library(_is_pair, _pair),
    Library(_takes_key, _equinox_factory),
    Library(callable, _nnx_factory),
]
