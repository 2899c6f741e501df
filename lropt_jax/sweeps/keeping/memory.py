"""What is asked of a place where a sweep is kept, and the one that lives as long as the process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lropt_jax.sweeps.keeping.models import Lane, Leaves
from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.sweeps.running.pieces import Snapshot
from lropt_jax.sweeps.running.strategy import Resolved


class Store(Protocol):
    """Where a sweep's progress and its models are kept.

    Attributes:
      lasts: whether they outlive the process.
    """

    lasts: bool

    @property
    def lots(self) -> list[list[Lane]]:
        """All lanes, those together that were asked for by one call."""

    @property
    def resolved(self) -> Mapping[str, Resolved]:
        """How groups run, by name, as far as that is settled."""

    @property
    def devices(self) -> str | None:
        """The devices that it was begun on, in words."""

    @property
    def saved(self) -> bool:
        """Whether any training is kept."""

    def begin(self, resolved: Mapping[str, Resolved]) -> None:
        """Settles how each group runs."""

    def load(self, name: str) -> Snapshot | None:
        """The newest whole snapshot of a piece, or None."""

    def save(self, name: str, snapshot: Snapshot) -> None:
        """Keeps a snapshot of a piece."""

    def put(self, lane: Lane, leaves: Leaves) -> None:
        """Keeps a trained lane."""

    def drop(self, lane: Lane) -> None:
        """Lets go of a lane, if it is there."""

    def model(self, lane: Lane) -> Leaves | None:
        """A lane that was kept, or None."""

    def finish(self, result: SweepResult) -> None:
        """Keeps what came out."""


class Memory:
    """Keeps models as long as the process lives, and no progress."""

    lasts = False
    devices: str | None = None
    saved = False

    def __init__(self, plan: Plan):
        seeds = range(len(plan.seeds))
        self.lots = [[(t, s) for t in range(len(plan.configurations)) for s in seeds]]
        self.resolved: Mapping[str, Resolved] = {}
        self._models: dict[Lane, Leaves] = {}

    def begin(self, resolved: Mapping[str, Resolved]) -> None:
        pass

    def load(self, name: str) -> None:
        return None

    def save(self, name: str, snapshot: Snapshot) -> None:
        pass

    def put(self, lane: Lane, leaves: Leaves) -> None:
        self._models[lane] = leaves

    def drop(self, lane: Lane) -> None:
        self._models.pop(lane, None)

    def model(self, lane: Lane) -> Leaves | None:
        return self._models.get(lane)

    def finish(self, result: SweepResult) -> None:
        pass
