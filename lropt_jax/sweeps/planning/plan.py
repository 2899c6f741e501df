"""What is trained? All that a sweep's values depend on but where it runs, as one value."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from lropt_jax.sweeps.deciding.rules import Rule
from lropt_jax.sweeps.planning import checks
from lropt_jax.sweeps.planning.draws import draw
from lropt_jax.sweeps.planning.groups import Group, groups
from lropt_jax.sweeps.planning.jobs import Job, Optimizer, names_of, optimizer_of, takes, task_of
from lropt_jax.sweeps.planning.space import Spaces, static_names, whole_names
from lropt_jax.tasks.task import Task
from lropt_jax.training.course import as_key
from lropt_jax.training.digests import code_of, digest, settings, versions
from lropt_jax.training.visits import Itinerary
from lropt_jax.training.watching.names import NOTHING, Watched


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """What is trained: every configuration on every seed. Made and checked by `planned`.

    Attributes:
      task: the training problem, or a function of names in the configurations that returns it.
      optimizer: a function of the other names.
      configurations: one a trial.
      seeds: the same for every trial.
      itinerary: when the host visits.
      key: the words of the key that everything random comes from.
      key_type: the generator that the key is for.
      rule: who goes on, or None when all do.
      splits: those to evaluate as a whole after the last update.
      groups: the trials that share a program.
      jobs: what each group shares.
      metrics: the names of the metrics at each evaluation.
      final: the names of those over whole splits after the last update.
      watched: what is watched at each evaluation.
      whole: the names that have whole numbers only.
    """

    task: Task | Callable[..., Task]
    optimizer: Optimizer
    configurations: tuple[dict[str, Any], ...]
    seeds: tuple[int, ...]
    itinerary: Itinerary
    key: np.ndarray
    key_type: str
    rule: Rule | None
    splits: tuple[str, ...]
    groups: tuple[Group, ...]
    jobs: tuple[Job, ...]
    metrics: tuple[str, ...]
    final: tuple[str, ...]
    watched: Watched = NOTHING
    whole: frozenset[str] = frozenset()

    @property
    def model_steps(self) -> int:
        """Updates in all, when no lane is pruned."""
        return len(self.configurations) * len(self.seeds) * self.itinerary.steps

    @property
    def stops(self) -> tuple[int, ...]:
        """The updates from and to which pieces of it are trained: 0, the rungs, the end."""
        rungs = [] if self.rule is None else self.rule.rungs(self.itinerary)
        return 0, *map(self.itinerary.updates_at, rungs), self.itinerary.steps

    def lanes(self, group: int) -> int:
        """The lanes of a group."""
        return len(self.groups[group].trials) * len(self.seeds)

    def numbers(self, group: int) -> dict[str, np.ndarray]:
        """What differs between the trials of a group, by name, (trials,)."""
        found = self.groups[group]
        return {
            name: np.array([self.configurations[t][name] for t in found.trials], float)
            for name in found.numbers
        }

    def keys(self, seeds: Sequence[int]) -> jax.Array:
        """The keys of lanes of these seeds, by their numbers in `seeds`."""
        return self.jobs[0].keys(np.array(self.seeds, np.uint32)[list(seeds)])

    @property
    def of_task(self) -> tuple[str, ...]:
        """The names in the configurations that are the task's and not the optimizer's."""
        names = dict.fromkeys(name for trial in self.configurations for name in trial)
        own = takes(self.optimizer, names, self.task)
        return tuple(name for name in names if name not in own)

    @functools.cached_property
    def trial_names(self) -> tuple[str, ...]:
        """A name for each trial by what it is, wherever it stands among the others."""
        numbers = {t: sorted(group.numbers) for group in self.groups for t in group.trials}
        found = [
            digest([numbers[t], *(part for item in sorted(c.items()) for part in item)])
            for t, c in enumerate(self.configurations)
        ]
        return _told_apart(found)

    @functools.cached_property
    def group_names(self) -> tuple[str, ...]:
        """A name for each group by what its programs are."""
        parts = [[sorted(g.numbers), *(x for i in sorted(g.fixed.items()) for x in i)]
                 for g in self.groups]  # fmt: skip
        return _told_apart([digest(part) for part in parts])

    @property
    def _watch(self) -> str:
        names = list(self.watched.names)
        return f"{names} on {self.watched.examples} examples" if names else "nothing"

    @functools.cached_property
    def identity(self) -> dict[str, str]:
        """What the values depend on, in words, by names that the caller of `sweep` knows.

        All but which trials and seeds there are, which may grow.
        """
        task = self.task
        if isinstance(task, Task):
            code = code_of(task)
            data, batch_size = digest(task.splits), str(task.batch_size)
        else:
            code, data, batch_size = digest(task), *["made by the task function"] * 2
        return {
            "steps": str(self.itinerary.steps),
            "eval_every": str(self.itinerary.eval_every),
            "key": str(self.key.tolist()),
            "prune": repr(self.rule),
            "final_splits": str(list(self.splits)),
            "data": data,
            "batch_size": batch_size,
            "task": code,
            "optimizer": digest(self.optimizer),
            "versions": versions(),
            "settings": str(settings()),
            "watch": self._watch,
        }


def _told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Names, with their number where one comes again."""
    seen: collections.Counter[str] = collections.Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return tuple(found)


def planned(
    task: Task | Callable[..., Task],
    optimizer: Optimizer,
    space: Spaces,
    trials: int | None = None,
    seeds: int | Sequence[int] = 1,
    *,
    itinerary: Itinerary,
    key: Any = 0,
    rule: Rule | None = None,
    splits: Sequence[str] = (),
    watched: Watched = NOTHING,
) -> Plan:
    """What `sweep` is asked to train, checked on shapes alone. See `sweep` for the arguments.

    Raises:
      ValueError: for arguments that do not fit, before anything is compiled.
    """
    seeds = checks.check_seeds(seeds)
    if rule is not None:
        checks.check_rule(rule, itinerary)
    root = as_key(key)
    words = np.asarray(jax.random.key_data(root))
    configurations = draw(space, trials, words.ravel().tolist())
    checks.check_trainings(len(configurations), len(seeds))
    checks.check_names(optimizer, task, configurations)
    static = (*names_of(task), "batch_size", *static_names(space))
    grouped = groups(configurations, static)
    jobs = []
    for group in grouped:
        job = Job(
            task_of(task, group),
            optimizer_of(optimizer, group, task),
            group.numbers,
            itinerary,
            words,
            str(jax.random.key_impl(root)),
            tuple(splits),
            watched,
        )
        checks.check_job(job, [{n: configurations[t][n] for n in job.names} for t in group.trials])
        jobs.append(job)
    named = [checks.metric_names(job) for job in jobs]
    metrics, final = (
        tuple(dict.fromkeys(itertools.chain(*names))) for names in zip(*named, strict=True)
    )
    if rule is not None:
        checks.check_changed(rule, [name for group in grouped for name in group.numbers])
        metric = checks.check_metric(rule.metric, named[0][0])
        rule = dataclasses.replace(rule, metric=metric) if metric != rule.metric else rule  # type: ignore[type-var]
    return Plan(
        task=task,
        optimizer=optimizer,
        configurations=tuple(configurations),
        seeds=tuple(seeds),
        itinerary=itinerary,
        key=words,
        key_type=jobs[0].key_type,
        rule=rule,
        splits=tuple(splits),
        groups=tuple(grouped),
        jobs=tuple(jobs),
        metrics=metrics,
        final=final,
        watched=watched,
        whole=whole_names(space),
    )
