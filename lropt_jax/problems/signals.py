"""Problems on MNIST-1D (Greydanus and Kobak 2020, arXiv:2011.14439): 40 values, 10 classes.

3,500 examples to train, 500 to choose by, 1,000 to test; the metric is "accuracy".
"""

from __future__ import annotations

from typing import Any

from lropt_jax.problems.divided import divided
from lropt_jax.tasks.adapters import classification_task
from lropt_jax.tasks.task import Task


def mnist1d_mlp(seed: int = 0) -> Task:
    """A net 40-100-100-10, batch 64: the generalization gap between SGD and Adam, in seconds.

    On MNIST-1D: 3,500 signals of 40 values to train, 500 to choose by, 1,000 to test. By
    "accuracy".

    70 us a step.
    """
    from lropt_jax.tasks.models import mlp

    return _task(mlp((100, 100, 10)), seed)


def mnist1d_batchnorm(seed: int = 0) -> Task:
    """The same net with batch-norm, batch 64: weights whose scale does not matter.

    The net of `mnist1d_mlp`, on its data: 3,500 signals to train, 500 to choose by, 1,000 to test.
    By "accuracy".

    85 us a step.
    """
    from lropt_jax.tasks.models import mlp

    return _task(mlp((100, 100, 10), batch_norm=True), seed)


def mnist1d_conv(seed: int = 0) -> Task:
    """Three convolutions of 25 channels, the net of the data's authors, batch 64.

    On MNIST-1D: 3,500 signals of 40 values to train, 500 to choose by, 1,000 to test. By
    "accuracy".

    2,200 us a step.
    """
    from lropt_jax.tasks.models.sequences import SignalConvolutions

    return _task(SignalConvolutions(), seed)


def mnist1d_gru(seed: int = 0) -> Task:
    """A gated recurrent unit of 32 over 40 steps, batch 64: gradients that explode or vanish.

    On MNIST-1D: 3,500 signals of 40 values to train, 500 to choose by, 1,000 to test. By
    "accuracy".

    1,400 us a step.
    """
    from lropt_jax.tasks.models.sequences import SignalRecurrence

    return _task(SignalRecurrence(), seed)


def _task(model: Any, seed: int) -> Task:
    return classification_task(model, divided("mnist1d", seed), batch_size=64)
