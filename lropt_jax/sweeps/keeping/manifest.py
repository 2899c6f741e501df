"""Which sweep does a directory hold? Its `sweep.json`, and whether a plan is the same or a larger.

A directory grows by lots: the lanes of the first call, then those that a later call added, and so
on. What trains together is settled lot by lot, so that a lane's place never changes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lropt_jax.progress import several
from lropt_jax.sweeps.keeping.models import Lane
from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.sweeps.running.strategy import Resolved

FORMAT = "lropt_jax sweep 3"
_ANY_FORMAT = "lropt_jax sweep"


@dataclasses.dataclass(frozen=True)
class Lot:
    """All trials (by name) and seeds of a call; its lanes are those that were new."""

    trials: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What `sweep.json` says.

    Attributes:
      identity: what the values depend on, in words, by names that the caller of `sweep` knows.
      resolved: how each group runs, by its name.
      lots: of the calls that made it grow, the first one's first.
      stops: see `Plan`; none where it was written before they were.
      finished: whether all of it is trained.
    """

    identity: Mapping[str, str]
    resolved: Mapping[str, Resolved]
    lots: tuple[Lot, ...]
    stops: tuple[int, ...]
    finished: bool = False

    def encoded(self) -> bytes:
        """As a file's content."""
        words = {
            "format": FORMAT,
            "identity": dict(self.identity),
            "resolved": {name: dataclasses.asdict(r) for name, r in self.resolved.items()},
            "lots": [{"trials": list(lot.trials), "seeds": list(lot.seeds)} for lot in self.lots],
            "stops": list(self.stops),
            "finished": self.finished,
        }
        return (json.dumps(words, indent=1) + "\n").encode()

    def lanes(self, plan: Plan) -> list[list[Lane]]:
        """The lanes of each lot, by their places in the plan."""
        trial = {name: t for t, name in enumerate(plan.trial_names)}
        seed = {value: s for s, value in enumerate(plan.seeds)}
        known: set[Lane] = set()
        found = []
        for lot in self.lots:
            lanes = [(trial[t], seed[s]) for t in lot.trials for s in lot.seeds]
            found.append([lane for lane in lanes if lane not in known])
            known.update(lanes)
        return found

    def grown(self, plan: Plan) -> Manifest:
        """With the lanes of a plan that are new as a lot more."""
        last, now = self.lots[-1], Lot(plan.trial_names, plan.seeds)
        if set(last.trials) == set(now.trials) and set(last.seeds) == set(now.seeds):
            return self
        return dataclasses.replace(self, lots=(*self.lots, now), finished=False)

    def check(self, path: Path, plan: Plan, identity: Mapping[str, str]) -> None:
        """Raises `ValueError` unless a plan is this one or a larger one; it says what differs."""
        differing = [
            f"{name} ({_short(self.identity.get(name))} there, {_short(now)} now)"
            for name, now in identity.items()
            if self.identity.get(name) != now
        ]
        there, trials = self.lots[-1].trials, set(plan.trial_names)
        if lost := set(there) - trials:
            differing.append(
                f"space ({several(len(there), 'trial')} there, {len(lost)} of which are not "
                f"among the {len(trials)} now)"
            )
        seeds = self.lots[-1].seeds
        if set(seeds) - set(plan.seeds):
            differing.append(f"seeds ({list(seeds)} there, {list(plan.seeds)} now)")
        if differing:
            raise ValueError(
                f"directory {path} holds another sweep; what differs: "
                f"{'; '.join(differing)}. Call it as it was called to go on (it may grow by "
                "trials, seeds and values), or choose another directory"
            )
        if plan.rule is not None and self.grown(plan) is not self:
            raise ValueError(
                f"directory {path} holds a pruned sweep of {several(len(there), 'trial')} and "
                f"{several(len(seeds), 'seed')}, which cannot grow to {len(trials)} and "
                f"{len(plan.seeds)}: who goes on depends on all that were there from the "
                "beginning. Choose another directory, or grow a sweep without prune"
            )


def read_manifest(path: Path) -> Manifest | None:
    """What a `sweep.json` says, or None where there is none that can be read.

    Raises:
      ValueError: for one that another version has written.
    """
    try:
        words: Any = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    written = words.get("format") if isinstance(words, dict) else None
    if not isinstance(written, str) or not written.startswith(_ANY_FORMAT):
        return None
    if written != FORMAT:
        raise ValueError(
            f"directory {path.parent} was written by another version of lropt_jax (as {written!r}, "
            f"this one writes {FORMAT!r}): go on with that version, or choose another directory"
        )
    try:
        return Manifest(
            words["identity"],
            {name: Resolved(**r) for name, r in words["resolved"].items()},
            tuple(Lot(tuple(lot["trials"]), tuple(lot["seeds"])) for lot in words["lots"]),
            tuple(words.get("stops", ())),  # older ones lack it
            words["finished"],
        )
    except (KeyError, TypeError, AttributeError):
        return None


def _short(words: str | None) -> str:
    words = str(words)
    return words if len(words) <= 80 else words[:77] + "..."
