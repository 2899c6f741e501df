"""The tuned comparison: equal budgets, selected on validation, fresh seeds, tested once."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax

from lropt_jax.progress import Progress, progress_bar
from lropt_jax.sweeps.engine import trained
from lropt_jax.sweeps.planning.plan import planned
from lropt_jax.sweeps.planning.space import Grid, Space, grid
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.sweeps.results.statistics import PairedTest, mean_interval, paired_tests
from lropt_jax.sweeps.running.placement import Placement
from lropt_jax.tasks.task import Task, check_task
from lropt_jax.training.visits import itinerary
from lropt_jax.validation import require, whole_number

FRESH_SEEDS = 1_000_000  # the first seed of the retraining, far from those of the tuning
WIDENINGS = 6  # times that a grid may grow before its edge is accepted


@dataclasses.dataclass
class Contestant:
    """One optimizer's part in a comparison.

    Attributes:
      name: its name.
      chosen: the configuration selected on validation data.
      tuning: the sweep that it was selected from.
      widened: by how many values its grid grew because the choice lay on an edge.
      at_edge: whether the choice still lies on an edge of the widened grid.
      retraining: the chosen configuration on fresh seeds.
    """

    name: str
    chosen: dict[str, Any]
    tuning: SweepResult
    widened: int
    at_edge: bool
    retraining: SweepResult

    def final(self, metric: str) -> np.ndarray[Any, Any]:
        """A metric of the retrained models, one value a seed; "generalization_gap" is train
        minus test accuracy."""
        if metric == "generalization_gap":
            gap: np.ndarray[Any, Any] = self.final("train_accuracy") - self.final("test_accuracy")
            return gap
        return np.array(self.retraining.final[metric][0])


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a comparison was made.

    Attributes:
      steps: updates of each training.
      tuning_seeds: seeds of each configuration while tuning.
      seeds: fresh seeds of the retraining.
      select: the metric that configurations were selected by.
      mode: whether its "min" or its "max" was selected.
      strategy: how the lanes were run.
    """

    steps: int
    tuning_seeds: int
    seeds: int
    select: str
    mode: str
    strategy: str

    def __str__(self) -> str:
        highest = {"max": "highest", "min": "lowest"}[self.mode]
        return (
            f"Every training takes {self.steps:,} updates. Each optimizer was tuned on the same "
            f"number of configurations, {self.tuning_seeds} seed(s) each; the one with the "
            f"{highest} mean {self.select.replace('_', ' ')} was selected; a choice on the edge "
            "of a grid widened the grid. "
            f"The chosen configuration was retrained on {self.seeds} fresh seeds, the "
            "same for every optimizer, and tested once. Intervals are 95% Student-t over seeds; "
            "differences are paired over seeds, p-values corrected by Holm's method."
        )


@dataclasses.dataclass
class Comparison:
    """The result of `compare`.

    Attributes:
      contestants: by name, in the order given.
      protocol: how it was made.
      evaluations: the metrics that the task evaluates ("loss", "accuracy").
    """

    contestants: dict[str, Contestant]
    protocol: Protocol
    evaluations: list[str]

    @property
    def metrics(self) -> list[str]:
        """What the table shows, the one that decides last but for the gap."""
        if "accuracy" in self.evaluations:
            return ["train_loss", "train_accuracy", "test_accuracy", "generalization_gap"]
        return ["train_loss", "test_loss"]

    @property
    def decisive(self) -> str:
        """The metric that the paired tests are made on by default."""
        return "test_accuracy" if "accuracy" in self.evaluations else "test_loss"

    def table(self) -> Any:
        """A frame with one row an optimizer: each metric's mean and the half-width of its 95%
        interval over seeds, the seeds that finished, and the chosen values."""
        import pandas as pd

        rows = []
        for contestant in self.contestants.values():
            row: dict[str, Any] = {"optimizer": contestant.name}
            for metric in self.metrics:
                row[metric], row[f"{metric}_interval"] = mean_interval(contestant.final(metric))
            row["finished"] = int((contestant.retraining.status == "finished").sum())
            rows.append({**row, **contestant.chosen})
        return pd.DataFrame(rows).set_index("optimizer")

    def tests(self, metric: str | None = None) -> list[PairedTest]:
        """Paired t-tests of all pairs over the shared seeds, corrected for their number."""
        metric = metric or self.decisive
        return paired_tests({name: c.final(metric) for name, c in self.contestants.items()})

    def to_pandas(self) -> Any:
        """All rows of all trainings, tidy, with the optimizer and the phase (tune, retrain)."""
        import pandas as pd

        frames = []
        for contestant in self.contestants.values():
            for phase, result in (("tune", contestant.tuning), ("retrain", contestant.retraining)):
                frame = result.to_pandas()
                frame.insert(0, "phase", phase)
                frame.insert(0, "optimizer", contestant.name)
                frames.append(frame)
        return pd.concat(frames, ignore_index=True)


def compare(
    task: Task,
    optimizers: Mapping[str, tuple[Callable[..., optax.GradientTransformation], Space]],
    steps: int = 1000,
    seeds: int = 10,
    tuning_seeds: int = 3,
    trials: int | None = None,
    eval_every: int | None = None,
    select: str | None = None,
    mode: str | None = None,
    key: Any = 0,
    strategy: str = "auto",
    width: int | None = None,
    devices: int | Sequence[Any] | None = None,
    directory: str | os.PathLike[str] | None = None,
    progress: bool | Progress = True,
) -> Comparison:
    """Compares optimizers as a careful reviewer would.

    Each is tuned on the same number of configurations and seeds; its configuration is selected
    on the validation split; where the choice lies on the edge of a grid, the grid is widened;
    the chosen configuration is retrained on fresh seeds, the same for all, and tested once.

    Args:
      task: the training problem, with validation and test splits.
      optimizers: maps a name to a factory and its space (see `sweep`).
      steps: updates of each training.
      seeds: fresh seeds to retrain the chosen configurations on.
      tuning_seeds: seeds of each configuration while tuning.
      trials: configurations of each optimizer; None for the full grid.
      eval_every: updates between evaluations; None evaluates at the end only.
      select: the metric to select by; by default `valid_accuracy` where the task has one, else
        `valid_loss`.
      mode: "min" or "max"; by default "max" for an accuracy.
      key: an int seed or a JAX key.
      strategy: as in `sweep`; "auto" is resolved once, for all optimizers. Figures are the same to
        the last bit only at the same strategy, width and number of devices.
      width: lanes of the compiled program, the same for tuning and retraining.
      devices: as in `sweep`.
      directory: where progress is kept, a folder an optimizer and phase (see `sweep`): the same
        call goes on where it was interrupted.
      progress: whether to show a live progress line.

    Returns:
      A `Comparison`.

    Raises:
      ValueError: for a task without validation or test split, an empty mapping, bad numbers, or
        an optimizer none of whose configurations finished.

    Example:
      >>> from lropt_jax import adam, classification_task, compare, load_data, log_grid, models, sgd
      >>> task = classification_task(models.mlp((8, 10)), load_data("digits"))
      >>> result = compare(
      ...     task,
      ...     {
      ...         "sgd": (sgd, {"learning_rate": log_grid(0.03, 3.0, 3)}),
      ...         "adam": (adam, {"learning_rate": log_grid(0.001, 0.1, 3)}),
      ...     },
      ...     steps=60, seeds=2, tuning_seeds=1, progress=False,
      ... )
      >>> list(result.table().index)
      ['sgd', 'adam']
    """
    for split in ("valid", "test"):
        if getattr(task, split) is None:
            raise ValueError(f"compare needs a task with a {split} split, this one has none")
    require("a comparison", "report", "pandas", "scipy")
    if not optimizers:
        raise ValueError("optimizers must name at least one optimizer, got none")
    if seeds < 2:
        raise ValueError(f"seeds must be at least 2 for an interval, got {seeds!r}")
    tuning_seeds = whole_number("tuning_seeds", tuning_seeds)
    check_task(task)
    metric_names = task.metric_names
    select = select or ("valid_accuracy" if "accuracy" in metric_names else "valid_loss")
    mode = mode or ("max" if select.endswith("accuracy") else "min")
    selectable = ["train_loss", *(f"valid_{name}" for name in metric_names)]
    if select not in selectable:
        raise ValueError(f"select must be one of {', '.join(selectable)}, got {select!r}")
    if mode not in ("min", "max"):
        raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
    device_count = devices if isinstance(devices, int) else len(devices or jax.local_devices())
    width = width or -(-seeds // device_count) * device_count
    at_once = min(3, max(1, width // tuning_seeds))  # new values: what fills a chunk of lanes
    where = Placement(strategy, width, devices)
    what = functools.partial(
        planned, task, itinerary=itinerary(steps, eval_every), key=key, splits=("train", "test")
    )
    budgets = {name: _trials(space, trials) for name, (_, space) in optimizers.items()}
    total = sum(n * tuning_seeds + seeds for n in budgets.values()) * steps
    contestants = {}
    with progress_bar(progress, total, "compare") as bar:
        for place, (name, (factory, space)) in enumerate(optimizers.items()):
            kept = functools.partial(_folder, directory, place, name)
            bar.describe(f"{name}: tuning")
            plan = what(factory, space, trials, tuning_seeds)
            tuning = trained(plan, where, kept("tuning"), bar)
            where = dataclasses.replace(where, strategy=tuning.strategy[0])
            chosen = _chosen(name, tuning, select, mode)
            added = 0
            for widening in range(WIDENINGS):
                wider = _beyond(chosen, tuning, space, at_once)
                if not wider:
                    break
                bar.describe(f"{name}: widening the grid")
                bar.skip(-_trials(wider, None) * tuning_seeds * steps)
                plan = what(factory, wider, None, tuning_seeds)
                more = trained(plan, where, kept(f"widening-{widening}"), bar)
                tuning, added = tuning.joined(more), added + len(more.trials)
                chosen = _chosen(name, tuning, select, mode)
            bar.describe(f"{name}: retraining on fresh seeds")
            fresh = range(FRESH_SEEDS, FRESH_SEEDS + seeds)
            retraining = trained(what(factory, chosen, None, fresh), where, kept("retraining"), bar)
            inside = _beyond(chosen, tuning, space, 1) is None
            contestants[name] = Contestant(name, chosen, tuning, added, not inside, retraining)
    protocol = Protocol(steps, tuning_seeds, seeds, select, mode, where.strategy)
    return Comparison(contestants, protocol, metric_names)


def _folder(directory: Any, place: int, name: str, phase: str) -> pathlib.Path | None:
    if directory is None:
        return None
    return pathlib.Path(directory) / f"{place:02d}-{re.sub(r'[^A-Za-z0-9]+', '-', name)}" / phase


def _trials(space: Space, trials: int | None) -> int:
    if trials is not None:
        return trials
    return int(np.prod([len(v.values) for v in space.values() if isinstance(v, Grid)]))


def _chosen(name: str, tuning: SweepResult, select: str, mode: str) -> dict[str, Any]:
    try:
        best = tuning.best(select, mode)
    except ValueError as error:
        raise ValueError(f"{name}: {error}; widen its space towards smaller values") from None
    return dict(best)


def _beyond(
    chosen: dict[str, Any], tuning: SweepResult, space: Space, count: int
) -> dict[str, Any] | None:
    """The space beyond the edge that the choice lies on: `count` further values of the first
    such hyperparameter at its grid's ratio, the others as they were; None if it lies inside."""
    for name, dimension in space.items():
        if not (isinstance(dimension, Grid) and dimension.scale == "log"):
            continue
        tried = sorted({trial[name] for trial in tuning.trials})
        ratio = dimension.values[1] / dimension.values[0]
        if chosen[name] == tried[0]:
            ratio = 1 / ratio
        elif chosen[name] != tried[-1]:
            continue
        values = [float(f"{chosen[name] * ratio**k:.12g}") for k in range(1, count + 1)]
        return {**space, name: grid(values)}
    return None
