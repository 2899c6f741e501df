"""What came out: every trial, seed and metric of a sweep, tidy."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lropt_jax.optimizers.code_lines import call
from lropt_jax.pages.words import number
from lropt_jax.progress import several, shown
from lropt_jax.sweeps.results import frames, saving
from lropt_jax.sweeps.results.drawings import Drawings
from lropt_jax.sweeps.results.saving import Event
from lropt_jax.sweeps.results.study import told
from lropt_jax.training.trained import Fit
from lropt_jax.validation import installed, is_scalar


class Models(Protocol):
    """Where the trained models of a sweep come from."""

    def trained(self, result: SweepResult, trial: int, seed: int) -> Fit:
        """A trial's model of the seed with this number: kept, or trained again, which it says."""

    def line(self, trial: int, configuration: dict[str, Any]) -> str:
        """The code that makes a trial's optimizer."""

    def costs(self, trials: Sequence[int]) -> list[tuple[float, float]]:
        """Of each of some trials the seconds of one update of one model, and the bytes of its
        optimizer's state over those of the parameters: measured now."""


@shown
@dataclasses.dataclass(eq=False, repr=False)
class SweepResult(Drawings):
    """The result of `sweep`.

    `.best()` is the best configuration, to be unpacked into the optimizer; `.trained()` its
    model, `.to_pandas()` all of it as a frame, `.sensitivity("learning_rate")` what one number
    does, `.budget_curve()` what fewer trials would have found; the figures are `.plot_*()`.

    Attributes:
      trials: the configurations, a dict each.
      seeds: the seeds, the same for every trial.
      steps: updates taken at each evaluation, (evaluations,).
      values: each metric, (trials, seeds, evaluations); NaN from where a lane diverged. A metric
        may be NaN or infinite on its own, which makes no lane diverged.
      final: each metric over whole splits after the last update, (trials, seeds), where asked
        for.
      status: "finished", "pruned" or "diverged", (trials, seeds).
      diverged_at: updates taken before the training loss or the parameters were first not finite,
        or -1, (trials, seeds).
      reached: evaluations made, (trials, seeds); a pruned trial makes fewer.
      strategy: how each compiled group ran.
      width: the lanes of each group's program.
      model_steps: updates trained, summed over lanes, whenever that was; those of a lane that
        diverged in full.
      lineage: the copies that population-based training made, in order.
      trained_now: those of `model_steps` that this call trained, and did not find trained.
      by: the metric and mode that `best` goes by where none is given, or None for the usual ones.
      of_task: the names in the configurations that are the task's and not the optimizer's.
      models: where `trained` finds its models; None for a result that was read back.

    See also:
      `sweep`, `load_sweep`, `expected_best`.

    Example:
      >>> from lropt_jax import fit, log_grid, problem, sgd, sweep
      >>> task, space = problem("digits_linear"), {"learning_rate": log_grid(0.01, 100.0, 5)}
      >>> result = sweep(task, sgd, space, seeds=2, steps=100, eval_every=50, progress=False)
      >>> best = result.best("valid_accuracy")
      >>> model = fit(task, sgd(**best), steps=200)
      >>> result.values["valid_loss"].shape  # trials, seeds, evaluations
      (5, 2, 2)
    """

    trials: list[dict[str, Any]]
    seeds: list[int]
    steps: np.ndarray
    values: dict[str, np.ndarray]
    final: dict[str, np.ndarray]
    status: np.ndarray
    diverged_at: np.ndarray
    reached: np.ndarray
    strategy: list[str] = dataclasses.field(default_factory=list)
    width: list[int] = dataclasses.field(default_factory=list)
    model_steps: int = 0
    lineage: list[Event] = dataclasses.field(default_factory=list)
    trained_now: int = 0
    by: tuple[str, str] | None = None
    of_task: tuple[str, ...] = ()
    models: Models | None = dataclasses.field(default=None, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "models": None}  # a task need not be such that it can be pickled

    def _about(self) -> tuple[str, dict[str, str]]:
        kinds, counts = np.unique(self.status.astype(str), return_counts=True)
        how = ", ".join(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
        count = several(len(self.trials), "configuration")
        title = f"SweepResult of {count} x {several(len(self.seeds), 'seed')}: {how}"
        try:
            best = self.best()
        except ValueError:  # none finished, or there is no metric that goes without saying
            rows = {"Metrics": ", ".join(self.values)}
        else:
            named = best.configuration.items()
            values = ", ".join(f"{k}={number(v)}" for k, v in named)
            rows = {f"Best {best.metric}": f"{best.value:.4g} at {values}"}
        go_on = ".best(metric), .to_pandas(), .sensitivity(name), .plot_curves()"
        return title, {**rows, "Go on with": go_on}

    def to_pandas(self) -> Any:
        """A tidy frame: trial, seed, the configuration's names, step, metric, value, status,
        diverged_at (missing where the lane did not diverge). A hyperparameter that is called like
        another column is `config_<name>`.

        Raises:
          ImportError: without pandas; it names the extra that installs it.
        """
        return frames.tidy(self.trials, self.seeds, self.steps, self.values, self.status,
                           self.diverged_at, self.evaluated)  # fmt: skip

    def to_xarray(self) -> Any:
        """A dataset: a variable a metric over (trial, seed, step), with the configuration's
        names along trial, and status and diverged_at over (trial, seed).

        Raises:
          ImportError: without xarray; it names the extra that installs it.
        """
        return frames.dataset(
            self.trials, self.seeds, self.steps, self.values, self.status, self.diverged_at
        )

    def trained(self, trial: int | None = None, seed: int | None = None) -> Fit:
        """A trained model, as `fit` returns it.

        It is there where the sweep kept it (`keep=`); else it is trained again, to the last bit as
        in the sweep, and a warning says so. One that was pruned is as it was when it was.

        Args:
          trial: its number; by default that of `best()`.
          seed: a value of `seeds`; by default the first.

        Raises:
          ValueError: for another trial or seed, and for a result that was read back without its
            task (`load_sweep`); it says what to do.

        Example:
          >>> from lropt_jax import adam, classification_task, load_data, log_grid, mlp, sweep
          >>> task = classification_task(mlp((8, 10)), load_data("digits"))
          >>> space = {"learning_rate": log_grid(1e-3, 0.1, 3)}
          >>> result = sweep(task, adam, space, steps=30, keep=1, progress=False)
          >>> model = result.trained()
          >>> float(model.history["valid_loss"][-1]) == result.best().value
          True
        """
        trial = self.best().trial if trial is None else trial
        if not (is_scalar(trial) and trial in range(len(self.trials))):
            raise ValueError(f"trial must be in [0, {len(self.trials)}), got {trial!r}")
        seed = self.seeds[0] if seed is None else seed
        if seed not in self.seeds:
            raise ValueError(f"seed must be one of {self.seeds}, got {seed!r}")
        if self.models is None:
            raise ValueError(
                "this result was read back without its task: call sweep(...) as it was called, "
                "with the same directory, which trains nothing anew, and ask its result"
            )
        return self.models.trained(self, int(trial), self.seeds.index(seed))

    def to_optuna(self, metric: str | None = None, mode: str | None = None) -> Any:
        """An Optuna study in memory that was told of all trials, for its importances, contours and
        dashboard; a trial that diverged as the worst possible, one that was pruned as pruned.

        Args:
          metric, mode: see `best`.

        Raises:
          ImportError: without Optuna; it names the extra that installs it.

        Example:
          >>> from lropt_jax import adam, classification_task, load_data, log_grid, mlp, sweep
          >>> task = classification_task(mlp((8, 10)), load_data("digits"))
          >>> space = {"learning_rate": log_grid(1e-3, 0.1, 3)}
          >>> result = sweep(task, adam, space, steps=10, progress=False)
          >>> study = result.to_optuna()  # optuna.visualization.plot_contour(study), ...
          >>> study.best_params == result.best()
          True
        """
        metric, mode = self.metric_and_mode(metric, mode)
        pruned = (self.status == "pruned").any(axis=1) & ~(self.status == "diverged").any(axis=1)
        curves = self.values[metric].mean(axis=1)
        return told(self.trials, self.steps, curves, self.means(metric), pruned, mode)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes all values to a folder, for `load_sweep`; or the table alone to a file.

        Args:
          path: a folder, made if it does not exist; or a file that ends in .csv or .parquet, for
            `to_pandas()`.

        Raises:
          ValueError: for a file of another suffix, and the directory of another sweep.
        """
        path = Path(path).expanduser()
        if path.suffix in frames.SUFFIXES or path.suffix in saving.NO_FOLDER:
            return frames.save(self.to_pandas, path)
        saving.check_free(path, self._fields())
        path.mkdir(parents=True, exist_ok=True)
        for name, content in self.files():
            (path / name).write_bytes(content)
        return None

    def files(self) -> Iterator[tuple[str, bytes]]:
        """The names and contents of its files: all values, and the table for other programs."""
        yield saving.NAME, saving.packed(self._fields())
        yield self.table_file()

    def _fields(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def table_file(self) -> tuple[str, bytes]:
        """The name and the bytes of the table's file: parquet, or CSV without pyarrow."""
        if installed("pandas"):
            return frames.file_of(self.to_pandas())
        return "results.csv", frames.plain_csv(
            self.trials, self.seeds, self.steps, self.values, self.status, self.diverged_at,
            self.evaluated,
        )  # fmt: skip

    def joined(self, *others: SweepResult) -> SweepResult:
        """The trials of this result, then those of the `others`, which must have its seeds,
        evaluations and metrics.

        Raises:
          ValueError: for results that do not belong together; it names what differs.
        """
        parts = (self, *others)
        lineage: list[Event] = []
        first = 0
        for part in parts:
            _check_alike(self, part)
            lineage += [_moved(event, first) for event in part.lineage]
            first += len(part.trials)

        def all_of(name: str) -> list[Any]:
            return [value for part in parts for value in getattr(part, name)]

        def table(kind: str) -> dict[str, np.ndarray]:
            tables = [getattr(part, kind) for part in parts]
            return {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}

        return SweepResult(
            all_of("trials"),
            self.seeds,
            self.steps,
            table("values"),
            table("final"),
            np.concatenate([part.status for part in parts]),
            np.concatenate([part.diverged_at for part in parts]),
            np.concatenate([part.reached for part in parts]),
            all_of("strategy"),
            all_of("width"),
            sum(part.model_steps for part in parts),
            lineage,
            sum(part.trained_now for part in parts),
            self.by,
            tuple(dict.fromkeys(all_of("of_task"))),
            _ModelsOfAll(parts),
        )


def load_sweep(directory: str | os.PathLike[str]) -> SweepResult:
    """The result of a finished sweep, or of `SweepResult.save`, without its task.

    Functions among the values are the same again where they belong to an installed library, and
    their names elsewhere; our schedules are schedules again. Trained models come with the task
    alone: call `sweep` as it was called.

    When to use:
      To read a sweep's results where its task is not at hand: on a laptop, in a notebook.
      What trains (`trained` of a model that was not kept) needs the task.

    Args:
      directory: the sweep's, or where its result was saved.

    Raises:
      ValueError: for a directory without a result; it says what is there.

    See also:
      `sweep`, `load_fit`.

    Example:
      >>> import tempfile
      >>> from lropt_jax import adam, classification_task, load_data, load_sweep, mlp, sweep
      >>> task = classification_task(mlp((8, 10)), load_data("digits"))
      >>> space = {"learning_rate": [0.01, 0.1]}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     result = sweep(task, adam, space, steps=10, directory=folder, progress=False)
      ...     back = load_sweep(folder)
      >>> back.best() == result.best()
      True
    """
    return SweepResult(**saving.unpacked(Path(directory).expanduser()))


class _ModelsOfAll:
    """The models of results that were joined."""

    def __init__(self, parts: Sequence[SweepResult]):
        self._parts = parts

    def trained(self, result: SweepResult, trial: int, seed: int) -> Fit:
        one, own = self._of(trial)
        return one.trained(own, one.seeds[seed])

    def line(self, trial: int, configuration: dict[str, Any]) -> str:
        one, own = self._of(trial)
        if one.models is None:
            return call("optimizer", configuration)
        return one.models.line(own, configuration)

    def costs(self, trials: Sequence[int]) -> list[tuple[float, float]]:
        found = []
        for trial in trials:
            one, own = self._of(trial)
            found += [(math.nan, math.nan)] if one.models is None else one.models.costs([own])
        return found

    def _of(self, trial: int) -> tuple[SweepResult, int]:
        """Whose a trial is, and its number there."""
        for part in self._parts[:-1]:
            if trial < len(part.trials):
                return part, trial
            trial -= len(part.trials)
        return self._parts[-1], trial


def _check_alike(one: SweepResult, other: SweepResult) -> None:
    """Raises `ValueError` for results that cannot be joined; it names what differs."""
    for name, ours, theirs in (
        ("seeds", list(one.seeds), list(other.seeds)),
        ("steps", list(map(int, one.steps)), list(map(int, other.steps))),
        ("metrics", sorted(one.values), sorted(other.values)),
        ("final metrics", sorted(one.final), sorted(other.final)),
    ):
        if ours != theirs:
            raise ValueError(
                f"only sweeps with the same {name} can be joined, got {ours} and {theirs}"
            )


def _moved(event: Event, places: int) -> Event:
    """An event of a lineage whose trials have other numbers now."""
    return dataclasses.replace(event, trial=event.trial + places, source=event.source + places)
