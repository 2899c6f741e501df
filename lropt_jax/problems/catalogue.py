"""The problems by their names. A further one is a function and a line here."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from lropt_jax.problems import generated, images, signals, tables, texts
from lropt_jax.tasks.task import Task
from lropt_jax.validation import check_name

PROBLEMS: dict[str, Callable[..., Task]] = {
    "noisy_quadratic": generated.noisy_quadratic,
    "heavy_tails": generated.heavy_tails,
    "digits_linear": tables.digits_linear,
    "shuttle": tables.shuttle,
    "yeast": tables.yeast,
    "randhie": tables.randhie,
    "mnist1d_mlp": signals.mnist1d_mlp,
    "mnist1d_batchnorm": signals.mnist1d_batchnorm,
    "mnist1d_conv": signals.mnist1d_conv,
    "mnist1d_gru": signals.mnist1d_gru,
    "mnist5k_mlp": images.mnist5k_mlp,
    "mnist5k_autoencoder": images.mnist5k_autoencoder,
    "docs_ngram": texts.docs_ngram,
    "docs_transformer": texts.docs_transformer,
}

# Where accuracy is what one wants; elsewhere it is the loss.
_BY_ACCURACY = ("digits_linear", "shuttle", *(n for n in PROBLEMS if n.startswith("mnist1d")))
METRICS = {
    name: "accuracy" if name in (*_BY_ACCURACY, "mnist5k_mlp") else "loss" for name in PROBLEMS
}
# Lanes of these are faster one after another than at once, on a CPU.
IN_TURN = ("mnist1d_gru", "mnist1d_conv", "mnist5k_mlp", "mnist5k_autoencoder", "docs_transformer")


def problem(name: str, seed: int = 0) -> Task:
    """A named problem as a `Task`; nothing is downloaded.

    | name | data | net | batch | metric | why |
    |---|---|---|---|---|---|
    | "noisy_quadratic" | generated, 1,000 curvatures 1/i | none | 1 | loss | its answer is known |
    | "heavy_tails" | generated, rare classes | linear | all | loss | Adam's case |
    | "digits_linear" | scikit-learn's digits | 64-10 | 32 | accuracy | convex |
    | "shuttle" | river's shuttle, unscaled | 9-32-2 | 128 | accuracy | ill-conditioned |
    | "yeast" | river's yeast, 14 labels | 103-64-14 | 64 | loss | yes or no many times |
    | "randhie" | statsmodels' randhie | 9-64-64-1 | 128 | loss | counts, heavy tails |
    | "mnist1d_mlp" | MNIST-1D | 40-100-100-10 | 64 | accuracy | the generalization gap |
    | "mnist1d_batchnorm" | MNIST-1D | the same, normalised | 64 | accuracy | scale invariance |
    | "mnist1d_conv" | MNIST-1D | 3 convolutions of 25 | 64 | accuracy | convolution |
    | "mnist1d_gru" | MNIST-1D | GRU of 32, 40 steps | 64 | accuracy | recurrence |
    | "mnist5k_mlp" | 5,000 MNIST images | 784-100-10 | 64 | accuracy | size |
    | "mnist5k_autoencoder" | the same | 784-100-20-100-784 | 64 | loss | the classical hard one |
    | "docs_ngram" | Python's own help | 128-128-letters | 128 | loss | Zipf's law |
    | "docs_transformer" | the same | 2 layers of 32 | 8 × 32 | loss | attention |

    Accuracy is better the higher, a loss the lower. "shuttle", "yeast" and "randhie" need the
    extra `atlas`, those of MNIST and the digits `data`. How long a step of Adam takes stands in
    each function's own documentation (`help(PROBLEMS[name])`): processor time of one lane alone,
    on two CPU cores.

    When to use:
      To try an optimizer of yours on something real that trains in seconds. They are small:
      what is best on them says little about large models.

    Args:
      name: one of `PROBLEMS`.
      seed: of the data, where they are generated, and of the division into splits; 0 gives the
        splits of `load_data` where that has the data.

    Raises:
      ValueError: for an unknown name, which lists the known ones, or a negative seed.
      ImportError: when a package is missing; it says what to install.

    See also:
      `load_atlas`, `compare`, `load_data`.

    Example:
      >>> import lropt_jax
      >>> task = lropt_jax.problem("digits_linear")
      >>> task.num_examples, task.batch_size
      ({'train': 1257, 'valid': 180, 'test': 360}, 32)
      >>> sorted(lropt_jax.PROBLEMS)[:3]
      ['digits_linear', 'docs_ngram', 'docs_transformer']
    """
    check_name("problem", name, PROBLEMS)
    return PROBLEMS[name](_seed(seed))


def _seed(seed: Any) -> int:
    try:
        found = operator.index(seed)
    except TypeError:
        found = -1
    if isinstance(seed, bool) or not 0 <= found < 2**31:
        raise ValueError(f"seed must be a whole number in [0, 2**31), got {seed!r}")
    return found
