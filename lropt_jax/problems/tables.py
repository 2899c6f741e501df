"""Problems on tables that packages ship: of scikit-learn, river and statsmodels."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.problems.divided import divided, standardized
from lropt_jax.tasks.adapters import classification_task
from lropt_jax.tasks.adapters.supervised import Splits, supervised_task
from lropt_jax.tasks.data import Dataset
from lropt_jax.tasks.task import Task


def digits_linear(seed: int = 0) -> Task:
    """Softmax regression 64-10 on scikit-learn's digits, batch 32: convex; by "accuracy".

    1,257 examples to train, 180 to choose by, 360 to test, values in [0, 1].

    6 us a step.
    """
    from lropt_jax.tasks.models import mlp

    return classification_task(mlp((10,)), divided("digits", seed), batch_size=32)


def shuttle(seed: int = 0) -> Task:
    """A net 9-32-2 on the sensors of a space shuttle, batch 128; by "accuracy".

    Unscaled, whole numbers from -26,739 to 15,164, so that the curvatures differ by many powers
    of ten; 7% of the examples are anomalies. 34,369 to train, 4,909 to choose by, 9,819 to test,
    each with as many anomalies.

    22 us a step.
    """
    from lropt_jax.tasks.models import mlp

    table = _read("river", "datasets/shuttle.csv.gz")
    data = Dataset.of(table[:, :9], table[:, 9].astype(np.int32), 4909, 9819, seed=seed)
    return classification_task(mlp((32, 2)), data, batch_size=128)


def yeast(seed: int = 0) -> Task:
    """A net 103-64-14 on genes of yeast, batch 64: 14 labels that are yes or no; by "loss".

    Inputs are standardized. 1,693 examples to train, 241 to choose by, 483 to test (Elisseeff
    and Weston 2001).

    50 us a step.
    """
    from lropt_jax.tasks.models import mlp

    table = _read("river", "datasets/yeast.csv.gz")
    data = Dataset.of(table[:, :103], table[:, 103:].astype(np.int32), 241, 483, seed=seed)
    model = mlp((64, 14))
    return classification_task(model, standardized(data), batch_size=64, multilabel=True)


def randhie(seed: int = 0) -> Task:
    r"""A net 9-64-64-1 on visits to a doctor, batch 128: counts with a heavy tail; by "loss".

    Poisson regression of the RAND health insurance experiment: outputs are the logarithms of
    the rates, and the loss is $e^z - y z + \log y!$. Inputs are standardized. 14,133 examples to
    train, 2,019 to choose by, 4,038 to test; from 0 to 77 visits.

    27 us a step.
    """
    from lropt_jax.tasks.models import mlp

    table = _read("statsmodels", "datasets/randhie/randhie.csv")
    data = Dataset.of(table[:, 1:], table[:, 0].astype(np.float32), 2019, 4038, seed=seed)
    model = mlp((64, 64, 1))
    return supervised_task(model, standardized(data), _counts, batch_size=128)


def _counts(outputs: tuple[int, ...], splits: Splits) -> tuple[_Poisson, Splits]:
    assert outputs == (1, 1)
    return _Poisson(), splits


@dataclasses.dataclass(frozen=True)
class _Poisson:
    """The negative logarithm of a count's probability; outputs are the logarithms of rates."""

    def loss(self, outputs: jax.Array, targets: jax.Array) -> jax.Array:
        """The mean over examples."""
        return self.metrics(outputs, targets)["loss"].mean()

    def metrics(self, outputs: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
        """The loss of each example."""
        z = outputs[:, 0]
        return {"loss": jnp.exp(z) - targets * z + jax.scipy.special.gammaln(targets + 1)}

    def check(self, name: str, targets: Any, outputs: tuple[int, ...]) -> None:
        """All counts are taken."""

    @property
    def summarize(self) -> Callable[[dict[str, Any]], Any] | None:
        """Nothing more."""
        return None


@functools.cache
def _read(package: str, path: str) -> np.ndarray:
    """A table of a package as float32, read without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            f"the problem of {path.split('/')[-1].split('.')[0]} needs {package}: "
            "pip install 'lropt-jax[atlas]'"
        )
    file = pathlib.Path(spec.submodule_search_locations[0]) / path
    table = np.loadtxt(file, delimiter=",", skiprows=1, dtype=np.float32)
    table.flags.writeable = False
    return table
