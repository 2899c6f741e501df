"""How the problems divide their data: at seed 0 as `load_data` does, else anew."""

from __future__ import annotations

import numpy as np

from lropt_jax.tasks.data import Dataset, load_data


def divided(name: str, seed: int) -> Dataset:
    """A data set of `load_data`; for another seed than 0 all its examples divided anew."""
    data = load_data(name)
    if seed == 0:
        return data
    x, y = (np.concatenate([split[part] for split in data]) for part in "xy")
    return Dataset.of(x, y, len(data.valid["y"]), len(data.test["y"]), seed=seed)


def standardized(data: Dataset) -> Dataset:
    """Inputs shifted and scaled to mean 0 and deviation 1, by what training inputs have."""
    mean, deviation = data.train["x"].mean(0), data.train["x"].std(0)
    scale = np.where(deviation > 0, deviation, 1)
    return Dataset(*({**s, "x": ((s["x"] - mean) / scale).astype(np.float32)} for s in data))
