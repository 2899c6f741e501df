"""Where is it trained? On which devices or workers, how wide, and by which strategy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from lropt_jax.progress import Progress
from lropt_jax.sweeps.keeping.store import Store
from lropt_jax.sweeps.planning import checks
from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.sweeps.running.pieces import Runner
from lropt_jax.sweeps.running.processes import AcrossProcesses
from lropt_jax.sweeps.running.runners import InProcess, OnExecutor
from lropt_jax.sweeps.running.strategy import check_strategy


@dataclasses.dataclass(frozen=True, eq=False)
class Placement:
    """Where a plan is trained, as `sweep` is told. See `sweep` for the attributes.

    Raises:
      ValueError: for values that are not allowed.
    """

    strategy: str = "auto"
    width: int | None = None
    devices: int | Sequence[Any] | None = None
    executor: Any = None

    def __post_init__(self) -> None:
        checks.check_count("width", self.width)
        check_strategy(self.strategy)
        checks.check_devices(self.devices, self.executor)

    @property
    def spread(self) -> bool:
        """Whether the processes of `jax.distributed` share the work."""
        return self.executor is None and jax.process_count() > 1

    def identity(self, plan: Plan) -> dict[str, str]:
        """What the values of a plan depend on here, in words."""
        if self.executor is None:
            here = self.here(plan)
            count, kinds = len(here), sorted({d.device_kind for d in here})
        else:
            count, kinds = self._count, ["workers'"]
        return {
            "strategy": self.strategy,
            "width": str(self.width),
            "devices": f"{count} {', '.join(kinds)}",
            "processes": f"{jax.process_index()} of {jax.process_count()}",
        }

    def runner(self, plan: Plan, store: Store, bar: Progress) -> Runner:
        """What runs a plan's pieces; each group as the store says, or as is found now."""
        run: InProcess | OnExecutor
        if self.executor is None:
            run = InProcess(plan, self.here(plan), store, bar)
        else:
            run = OnExecutor(plan, self.executor, self._count, store, bar)
        run.resolved = store.resolved or [
            run.resolve(group, self.strategy, self.width) for group in range(len(plan.groups))
        ]
        return AcrossProcesses(run) if self.spread else run

    @property
    def _count(self) -> int:
        """The devices that each worker uses."""
        return 1 if self.devices is None else int(self.devices)  # type: ignore[arg-type]

    def here(self, plan: Plan) -> list[Any]:
        """The devices of this process to use."""
        found = jax.local_devices()
        if self.devices is None:
            # More devices than lanes would train padding.
            most = max(plan.lanes(group) for group in range(len(plan.groups)))
            return list(found[: self.width or most])
        if isinstance(self.devices, (int, np.integer)):
            if self.devices > len(found):
                raise ValueError(f"devices={self.devices}, but there are {len(found)}")
            return list(found[: int(self.devices)])
        return list(self.devices)
