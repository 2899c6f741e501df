"""How is it drawn? Figures of a sweep, out of plain arrays, and a page with them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from lropt_jax.sweeps.results.analysis import Sensitivity
from lropt_jax.sweeps.results.readings import Readings
from lropt_jax.tasks.metrics import bounds
from lropt_jax.training.event_files import Logged, write_events
from lropt_jax.validation import is_scalar

SENSITIVITIES = 6  # hyperparameters at most that get a figure of their own


def logged(result: Readings, within: str = "", **numbers: Any) -> list[Logged]:
    """A sweep as runs of TensorBoard, each trial and seed one.

    Args:
      result: the sweep's.
      within: what stands before the names of its runs.
      **numbers: what else each was trained with.
    """
    digits = len(str(len(result.trials) - 1))
    runs = []
    for t, s in np.ndindex(*result.status.shape):
        own = {**result.trials[t], "seed": result.seeds[s], "status": result.status[t, s]}
        made = result.evaluated[t, s]
        curves = {name: values[t, s][made] for name, values in result.values.items()}
        name = f"{within}trial-{t:0{digits}}/seed-{result.seeds[s]}"
        final = {n: float(value[t, s]) for n, value in result.final.items() if made.all()}
        runs.append(Logged(name, {**numbers, **own}, result.steps[made], curves, final))
    return runs


class Drawings(Readings):
    """The figures of a sweep. See `SweepResult`."""

    def figures(self, metric: str | None = None, mode: str | None = None) -> dict[str, Any]:
        """All figures that say something about this sweep, by name; none where none finished.

        Args:
          metric, mode: see `best`.
        """
        metric, mode = self.metric_and_mode(metric, mode)
        if not np.isfinite(self.means(metric)).any():
            return {}
        names = dict.fromkeys(name for trial in self.trials for name in trial)
        varied = [n for n in names if len({repr(t.get(n)) for t in self.trials}) > 1]
        numbers = [n for n in varied if all(is_scalar(t.get(n)) for t in self.trials)]
        drawn = {
            f"sensitivity-{n}": self.plot_sensitivity(n, metric, mode)
            for n in numbers[:SENSITIVITIES]
        }
        if len(varied) > 1:
            drawn["parallel"] = self.plot_parallel(metric, mode)
        if len(numbers) == 2:
            drawn["heatmap"] = self.plot_heatmap(numbers[0], numbers[1], metric, mode)
        if len(self.steps) > 1:
            drawn["curves"] = self.plot_curves(metric, mode=mode)
        if len(self.trials) > 1:
            drawn["budget"] = self.plot_budget(metric, mode)
        return drawn

    def plot_sensitivity(
        self, name: str, metric: str | None = None, mode: str | None = None
    ) -> Any:
        """A figure of `sensitivity(name, metric, mode)`, with a mark for each value at which a lane
        diverged."""
        from lropt_jax.plotting.sweeps import sensitivity_figure

        found = self.sensitivity(name, metric, mode)
        limits = bounds(found.metric, found.mean)
        shown = found.values, found.mean, found.half_width, found.diverged, found.basin
        sampled = self.is_sampled(found)
        return sensitivity_figure(*shown, name, found.metric, limits, sampled)

    def is_sampled(self, found: Sensitivity) -> bool:
        """Whether each value that a `sensitivity` has `found` is one configuration, whose other
        numbers differ too."""
        names = dict.fromkeys(n for trial in self.trials for n in trial if n != found.name)
        others = any(len({repr(t.get(n)) for t in self.trials}) > 1 for n in names)
        return others and len(found.values) == len(self.trials)

    def plot_heatmap(
        self, x: str, y: str, metric: str | None = None, mode: str | None = None
    ) -> Any:
        """A figure of a metric against two hyperparameters, cells of a grid or sampled points.

        Args:
          x, y: the names of the hyperparameters.
          metric, mode: see `best`.
        """
        from lropt_jax.plotting.heatmaps import heatmap_figure

        metric, mode = self.metric_and_mode(metric, mode)
        diverged = (self.status == "diverged").any(axis=1)
        return heatmap_figure(self.trials, self.means(metric), diverged, x, y, metric, mode)

    def plot_parallel(self, metric: str | None = None, mode: str | None = None) -> Any:
        """A figure with one axis a hyperparameter and one line a configuration.

        Args:
          metric, mode: see `best`.
        """
        from lropt_jax.plotting.sweeps import parallel_figure

        metric, mode = self.metric_and_mode(metric, mode)
        return parallel_figure(self.trials, self.means(metric), metric, mode)

    def plot_curves(
        self, metric: str | None = None, best: int = 10, mode: str | None = None
    ) -> Any:
        """A figure of a metric over the updates, the best configurations in colour.

        Args:
          metric, mode: see `SweepResult.best`.
          best: how many of them.
        """
        from lropt_jax.plotting.sweeps import curves_figure

        metric, mode = self.metric_and_mode(metric, mode)
        chosen = self.ranking(metric, mode)[:best]
        curves = self.values[metric].mean(axis=1)
        limits = bounds(metric, curves[chosen])
        return curves_figure(self.steps, curves, self.trials, chosen, metric, limits)

    def plot_importances(self, metric: str | None = None, mode: str | None = None) -> Any:
        """A figure of `importances(metric, mode)`."""
        from lropt_jax.plotting.sweeps import importances_figure

        metric, mode = self.metric_and_mode(metric, mode)
        return importances_figure(self.importances(metric, mode), metric)

    def plot_budget(self, metric: str | None = None, mode: str | None = None) -> Any:
        """A figure of `budget_curve(metric, mode)`."""
        from lropt_jax.plotting.sweeps import budget_figure

        metric, mode = self.metric_and_mode(metric, mode)
        curve = self.budget_curve(metric, mode)
        shown = tuple(curve[name].to_numpy() for name in ("expected_best", "low", "high"))
        return budget_figure({"": shown}, metric)

    def to_tensorboard(self, directory: str | os.PathLike[str]) -> Path:
        """Writes all curves for TensorBoard, and the configurations for its HParams page.

        Each trial and seed is a run, "trial-3/seed-0"; beside the configuration the page has its
        seed and its status.

        Args:
          directory: the folder that `tensorboard --logdir` is given, made if it does not exist.
            What was written there for these trials before is replaced.

        Raises:
          ImportError: without tensorboardX; it names the extra that installs it.

        Example:
          >>> import tempfile
          >>> from lropt_jax import adam, classification_task, load_data, log_grid, mlp, sweep
          >>> task = classification_task(mlp((8, 10)), load_data("digits"))
          >>> space = {"learning_rate": log_grid(1e-3, 0.1, 3)}
          >>> result = sweep(task, adam, space, steps=10, progress=False)
          >>> folder = result.to_tensorboard(tempfile.mkdtemp())  # tensorboard --logdir FOLDER
          >>> sorted(run.name for run in folder.iterdir())
          ['trial-0', 'trial-1', 'trial-2']
        """
        return write_events(directory, logged(self))

    def report(
        self,
        path: str | os.PathLike[str],
        metric: str | None = None,
        mode: str | None = None,
        title: str = "A sweep",
    ) -> Path:
        """Writes one page that needs no other file: what to take, the trials by rank, what it cost,
        figures.

        Args:
          path: a file that ends in .html, or a folder, for report.html in it.
          metric, mode: see `best`.
          title: of the page.

        Returns:
          The path of the page.

        Raises:
          ImportError: without what a report needs; it names the extra that installs it.
        """
        from lropt_jax.sweeps.results.report import write_report

        return write_report(self, path, metric, mode, title)
