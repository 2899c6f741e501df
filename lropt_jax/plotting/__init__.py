"""Figures from results; matplotlib is imported where a figure is drawn."""

from lropt_jax.plotting.paths import plot_paths as plot_paths
from lropt_jax.plotting.schedules import plot_schedules as plot_schedules
