"""What a claim works with: sweeps and comparisons that are kept, at the size of the run."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any, TypeVar

import jax

from lropt_jax.comparisons.comparison import Comparison
from lropt_jax.comparisons.protocol import compare
from lropt_jax.progress import Progress
from lropt_jax.sweeps.engine import sweep
from lropt_jax.sweeps.results.result import SweepResult

T = TypeVar("T")

QUICK_SEEDS = 5
# A quick run shares no seed with the one that decides, so that it can be its pilot.
KEY, QUICK_KEY = 0, 1017


@dataclasses.dataclass(frozen=True)
class Bench:
    """The size of a run, and where its trainings are kept so that it goes on after a kill.

    Attributes:
      quick: whether this is a quick look: few seeds, small grids.
      folder: where the sweeps' directories are, or None to keep nothing.
      progress: what a person sees.
    """

    quick: bool = False
    folder: pathlib.Path | None = None
    progress: bool | Progress = False

    def seeds(self, full: int) -> int:
        """So many seeds, or the few of a quick run."""
        return min(full, QUICK_SEEDS) if self.quick else full

    def scaled(self, full: T, quick: T) -> T:
        """One of two sizes."""
        return quick if self.quick else full

    def sweep(self, label: str | None, *arguments: Any, **named: Any) -> SweepResult:
        """`sweep`, kept under a label; None for one that takes no time."""
        return sweep(*arguments, **self._given(label, named))

    def compare(self, label: str | None, *arguments: Any, **named: Any) -> Comparison:
        """`compare`, kept under a label."""
        return compare(*arguments, **self._given(label, named))

    @property
    def key(self) -> int:
        """That all randomness of a claim comes from, where it gives none: another one in a quick
        run."""
        return QUICK_KEY if self.quick else KEY

    @contextlib.contextmanager
    def float64(self) -> Iterator[None]:
        """Everything inside is computed in double precision."""
        with jax.enable_x64(True):
            yield

    def _given(self, label: str | None, named: dict[str, Any]) -> dict[str, Any]:
        kept = {"directory": self._kept(label), "progress": self.progress}
        return {"key": self.key, **named, **kept}

    def _kept(self, label: str | None) -> pathlib.Path | None:
        return None if self.folder is None or label is None else self.folder / label
