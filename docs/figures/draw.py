"""The README's figure, from what `lropt compare` wrote: `python draw.py runs/compare-mnist1d`."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from matplotlib.ticker import PercentFormatter

from lropt_jax.plotting.style import style
from lropt_jax.sweeps.results.statistics import mean_interval

SGD, ADAPTIVE = "#0072B2", "#D55E00"
COLOURS = dict.fromkeys(("sgd", "momentum", "nesterov"), SGD)


def main(folder: str) -> None:
    """Test accuracy of each optimizer: its seeds, their mean and 95% interval."""
    rows = pd.read_csv(Path(folder) / "retrained.csv")
    accuracy = rows.groupby("optimizer", sort=False)["test_accuracy"]
    order = accuracy.mean().sort_values().index
    with style() as figure:
        fig = figure(figsize=(5.6, 3.1), layout="constrained")
        ax = fig.subplots()
        for y, name in enumerate(order):
            values = accuracy.get_group(name).to_numpy()
            mean, half = mean_interval(values)
            colour = COLOURS.get(name, ADAPTIVE)
            ax.plot(values, [y] * len(values), ".", color=colour, alpha=0.35)
            ax.errorbar(mean, y, xerr=half, fmt="o", color=colour, capsize=4, lw=2)
        ax.set_yticks(range(len(order)), order)
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.set_xlabel("test accuracy (dots: seeds; mean and 95% interval)")
        ax.set_title("SGD and its kin (blue) generalize better here")
        fig.savefig(Path(__file__).with_name("test_accuracy.png"))


if __name__ == "__main__":
    main(sys.argv[1])
