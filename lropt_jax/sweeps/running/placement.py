"""Where is it trained? On which devices or workers, how wide, and by which strategy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from lropt_jax.progress import Progress
from lropt_jax.sweeps.keeping.memory import Store
from lropt_jax.sweeps.planning import checks
from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.sweeps.running.pieces import Runner
from lropt_jax.sweeps.running.processes import AcrossProcesses
from lropt_jax.sweeps.running.runners import InProcess, OnExecutor
from lropt_jax.sweeps.running.strategy import check_strategy


@dataclasses.dataclass(frozen=True, eq=False)
class Placement:
    """Where a plan is trained, as `sweep` is told. See `sweep` for the attributes.

    Attributes:
      usual: the width where none is given. A directory that was begun at another keeps its own.

    Raises:
      ValueError: for values that are not allowed.
    """

    strategy: str = "auto"
    width: int | None = None
    devices: int | Sequence[Any] | None = None
    executor: Any = None
    usual: int | None = None

    def __post_init__(self) -> None:
        checks.check_count("width", self.width)
        check_strategy(self.strategy)
        checks.check_devices(self.devices, self.executor)

    @property
    def wanted(self) -> int | None:
        """The width that a new directory begins with; None: what is useful and fits."""
        return self.width or self.usual

    @property
    def spread(self) -> bool:
        """Whether the processes of `jax.distributed` share the work."""
        return self.executor is None and jax.process_count() > 1

    def identity(self, plan: Plan, begun: str | None = None) -> dict[str, str]:
        """What the values of a plan depend on here, in words.

        Args:
          plan: what is trained.
          begun: the devices that it was begun on, in words: the same are used again.
        """
        return {
            "strategy": self.strategy,
            "width": str(self.width),
            "devices": self._words(self.here(plan, begun)),
            "processes": f"{jax.process_index()} of {jax.process_count()}",
        }

    def here(self, plan: Plan, begun: str | None = None) -> list[Any]:
        """The devices of this process that a plan trains on; with an executor, those of a worker
        that this process would use in its place."""
        found = jax.local_devices()
        if self.executor is not None:
            return list(found[: 1 if self.devices is None else self.devices])
        if self.devices is None:
            for count in range(1, len(found) + 1):
                if self._words(found[:count]) == begun:
                    return list(found[:count])
            # More devices than lanes would train padding.
            most = max(plan.lanes(group) for group in range(len(plan.groups)))
            return list(found[: self.wanted or most])
        if isinstance(self.devices, (int, np.integer)):
            if self.devices > len(found):
                raise ValueError(f"devices={self.devices}, but there are {len(found)}")
            return list(found[: int(self.devices)])
        return list(self.devices)

    def runner(self, plan: Plan, store: Store, bar: Progress) -> Runner:
        """What runs a plan's pieces; each group as the store says, or as is found now."""
        run: InProcess | OnExecutor
        if self.executor is None:
            run = InProcess(plan, self.here(plan, store.devices), store, bar)
        else:
            run = OnExecutor(plan, self.executor, self._count, store, bar)
        run.resolved = [
            store.resolved.get(name) or run.resolve(group, self.strategy, self.wanted)
            for group, name in enumerate(plan.group_names)
        ]
        return AcrossProcesses(run) if self.spread else run

    @property
    def _count(self) -> int:
        """The devices that each worker uses."""
        return 1 if self.devices is None else int(self.devices)  # type: ignore[arg-type]

    def _words(self, devices: Sequence[Any]) -> str:
        if self.executor is not None:
            return f"{self._count} workers'"
        return f"{len(devices)} {', '.join(sorted({d.device_kind for d in devices}))}"
