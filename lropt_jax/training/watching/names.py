"""What can be watched, by name, and on how many examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from lropt_jax.validation import unknown, whole_number

EXAMPLES = 1024  # that are looked at, where nobody says how many

CURVATURES = ("sharpness", "preconditioned_sharpness")
MOVEMENTS = ("update_ratio", "rotation")
OBSERVABLES = (*CURVATURES, *MOVEMENTS, "noise_scale")


def limit_of(curvature: str) -> str:
    """The name of the largest value of a sharpness at which the training is stable."""
    return f"{curvature}_limit"


def is_detail(name: str) -> bool:
    """Whether this belongs to an observable and is not one: a limit, or what one layer does."""
    return name in map(limit_of, CURVATURES) or name.startswith(tuple(f"{m}/" for m in MOVEMENTS))


@dataclasses.dataclass(frozen=True)
class Watched:
    """What is watched at each evaluation.

    Attributes:
      names: some of `OBSERVABLES`.
      examples: how many of the first training examples are looked at.
      layers: whether movements are also those of each leaf of the parameters.
    """

    names: tuple[str, ...] = ()
    examples: int = EXAMPLES
    layers: bool = False

    @property
    def movements(self) -> tuple[str, ...]:
        """Those that need the parameters before the last update."""
        return tuple(name for name in self.names if name in MOVEMENTS)


NOTHING = Watched()


def watched(
    watch: str | Iterable[str], watch_examples: int = EXAMPLES, layers: bool = False
) -> Watched:
    """What a user wants to have watched.

    Raises:
      ValueError: for a name that is none of `OBSERVABLES`, or a bad number of examples.
    """
    names = (watch,) if isinstance(watch, str) else watch
    if not isinstance(names, Iterable):
        raise ValueError(f"watch must be names of {', '.join(OBSERVABLES)}, got {watch!r}")
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in OBSERVABLES:
            raise ValueError(f"watch: {unknown('observable', name, OBSERVABLES)}")
    return Watched(names, whole_number("watch_examples", watch_examples), layers)
