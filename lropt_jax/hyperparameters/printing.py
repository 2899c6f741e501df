"""How an optimizer prints: as the call that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optax

from lropt_jax.schedules.base import Schedule, listed
from lropt_jax.validation import is_number


class Called(optax.GradientTransformationExtraArgs):  # type: ignore[misc]
    """A transformation that knows the call that made it.

    Attributes:
      call: the factory's name, the arguments, and their defaults.
    """

    call: tuple[str, Mapping[str, Any], Mapping[str, Any]] = ("transformation", {}, {})

    def __repr__(self) -> str:
        name, arguments, defaults = self.call
        # Numbers as they are; what is structure only where it says something.
        said = {
            k: v if _is_plain(v) else _Named(v)
            for k, v in arguments.items()
            if is_number(v) or isinstance(v, Schedule) or v is not defaults.get(k)
        }
        return f"{name}({listed(said)})"


class _Named:
    """What has no short text of its own (a mask, a function): by a name."""

    def __init__(self, value: Any):
        self.name = getattr(value, "__name__", f"<{type(value).__name__}>")

    def __repr__(self) -> str:
        return str(self.name)


def _is_plain(value: Any) -> bool:
    return is_number(value) or isinstance(value, (Schedule, str, bool, type(None)))
