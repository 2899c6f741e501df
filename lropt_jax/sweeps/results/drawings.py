"""How is it drawn? Figures of a sweep, out of plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from lropt_jax.sweeps.results.readings import Readings
from lropt_jax.tasks.metrics import bounds


class Drawings(Readings):
    """The figures of a sweep. See `SweepResult`."""

    def plot_sensitivity(
        self, name: str, metric: str | None = None, mode: str | None = None
    ) -> Any:
        """A figure of `sensitivity`, with a mark for each value at which a lane diverged."""
        from lropt_jax.plotting.sweeps import sensitivity_figure

        found = self.sensitivity(name, metric, mode)
        limits = bounds(found.metric, found.mean)
        shown = found.values, found.mean, found.half_width, found.diverged, found.basin
        return sensitivity_figure(*shown, name, found.metric, limits)

    def plot_heatmap(
        self, x: str, y: str, metric: str | None = None, mode: str | None = None
    ) -> Any:
        """A figure of a metric against two hyperparameters, cells of a grid or sampled points."""
        from lropt_jax.plotting.heatmaps import heatmap_figure

        metric, mode = self.metric_and_mode(metric, mode)
        diverged = (self.status == "diverged").any(axis=1)
        return heatmap_figure(self.trials, self.means(metric), diverged, x, y, metric, mode)

    def plot_parallel(self, metric: str | None = None, mode: str | None = None) -> Any:
        """A figure with one axis a hyperparameter and one line a configuration."""
        from lropt_jax.plotting.sweeps import parallel_figure

        metric, mode = self.metric_and_mode(metric, mode)
        return parallel_figure(self.trials, self.means(metric), metric, mode)

    def plot_curves(
        self, metric: str | None = None, best: int = 10, mode: str | None = None
    ) -> Any:
        """A figure of a metric over the updates, the best configurations in colour."""
        from lropt_jax.plotting.sweeps import curves_figure

        metric, mode = self.metric_and_mode(metric, mode)
        means = self.means(metric)
        order = np.argsort(means if mode == "min" else -means, kind="stable")  # NaN last
        chosen = [int(t) for t in order[:best] if np.isfinite(means[t])]
        curves = self.values[metric].mean(axis=1)
        return curves_figure(self.steps, curves, self.trials, chosen, metric)

    def plot_budget(self, metric: str | None = None, mode: str | None = None) -> Any:
        """A figure of `budget_curve`."""
        from lropt_jax.plotting.sweeps import budget_figure

        metric, mode = self.metric_and_mode(metric, mode)
        curve = self.budget_curve(metric, mode)
        shown = tuple(curve[name].to_numpy() for name in ("expected_best", "low", "high"))
        return budget_figure({"": shown}, metric)
