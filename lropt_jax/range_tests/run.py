"""The LR range test: a population of lanes through the one training segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.progress import Progress, progress_bar
from lropt_jax.range_tests.curve import RangeTest
from lropt_jax.range_tests.preparing import Factory, prepared
from lropt_jax.tasks.task import Task


def lr_range_test(
    task: Task,
    optimizer: Factory,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    seeds: int | Sequence[int] = 8,
    key: Any = 0,
    over: Mapping[str, Sequence[Any]] | None = None,
    *,
    spacing: str = "geometric",
    split: str = "train",
    accumulate: Any = None,
    smoothing: float = 0.03,
    divergence: float = 4.0,
    width: int | None = None,
    strategy: str = "auto",
    devices: Sequence[Any] | None = None,
    progress: bool | Progress = False,
    **hyperparams: Any,
) -> RangeTest:
    r"""The learning-rate range test: one short training in which the learning rate climbs.

    Update $i$ of each lane is taken at

    $$\eta_i = \eta_0 (\eta_{n-1}/\eta_0)^{i/(n-1)}, \qquad i = 0, \dots, n - 1,$$

    (or at equal differences), from `start` to `end`. Lanes are seeds times the values of `over`,
    trained as one program; each starts from its seed's own initialisation and batches, the same
    for every configuration. Nothing outside is touched.

    For fine-tuning pretrained Transformers the test suggests rates that are far too high: the
    loss of a few hundred steps does not show what a high rate destroys.

    When to use:
      Before the first real training, to know where rates begin to help and where they blow
      up. Start with its defaults and look at the curve. On average it costs 0.4 to 1.6 points
      of accuracy against a sweep of sixteen rates (docs/range_test.md), and it is blind to what
      long trainings need.

    Args:
      task: the training problem.
      optimizer: a function of `learning_rate` (and other numbers) that returns a transformation:
        `adam`, `optax.adamw`, `lambda learning_rate, clip: optax.chain(...)`. One that makes a
        schedule of the rate is warned about: the rungs are then not what its updates use.
      start: the first learning rate (Lightning, fastai: 1e-8 and 1e-7).
      end: the last one (fastai: 10).
      steps: rungs of the ladder, one update each (fastai, Lightning: 100).
      seeds: how many, or which.
      key: an int seed or a JAX key; everything random comes from it.
      over: further hyperparameters, a list of values each; their grid becomes the first axes of
        the result. Numbers share one program, other values (bools, functions) make one each.
      spacing: "geometric", or "linear".
      split: "train" records the batch loss before each update; "valid" the task's validation
        loss after it, which takes an evaluation a rung.
      accumulate: microbatches for each update, as in `fit`.
      smoothing: deviation of the smoothing kernel as a share of the ladder (3 of 100 rungs).
      divergence: a lane no longer counts once its loss exceeds the best by k - 1 times the best's
        size (fastai: 4) and by what noise explains, never to return.
      width: lanes trained at once, which bounds the memory; by default as many as are useful and
        fit (on a CPU, into its cache), at most 128 a device.
      strategy: how lanes lie on a device: "vmap", "map", "map:k" (blocks of k), or "auto", which
        is guessed, not timed: a test is short.
      devices: to spread over; all local ones by default.
      progress: whether to show a live progress line.
      **hyperparams: fixed arguments of the optimizer.

    Returns:
      A `RangeTest`: curves, suggestions with intervals, figure, table.

    Raises:
      ValueError: for bad arguments, and for Rprop, which reads its rate once; before anything is
        compiled.
      TypeError: for an optimizer that is not a function.

    Reference:
      Smith 2015, Cyclical learning rates for training neural networks, arXiv:1506.01186.

    See also:
      `one_cycle`, `cyclic`, `sweep`, `tune`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lropt_jax import Task, lr_range_test, sgd
      >>> def error(w, batch):
      ...     return (batch["x"] @ w - batch["y"]) ** 2
      >>> x = jax.random.normal(jax.random.key(0), (64, 3))
      >>> task = Task(
      ...     init=lambda key: (jax.random.normal(key, (3,)), {}),
      ...     loss=lambda w, state, batch, key: (error(w, batch).mean(), (state, {})),
      ...     evaluate=lambda w, state, batch: {"loss": error(w, batch)},
      ...     train={"x": x, "y": x @ jnp.arange(3.0)},
      ...     batch_size=16,
      ... )
      >>> test = lr_range_test(task, sgd, start=1e-4, over={"momentum": [0.0, 0.9]})
      >>> test.losses.shape
      (2, 8, 100)
      >>> bool(test.suggestions["valley"].value[0] > test.suggestions["valley"].value[1])
      True
    """
    _check_reading(smoothing, divergence)
    test = prepared(
        task,
        optimizer,
        start,
        end,
        steps,
        seeds,
        key,
        over,
        spacing=spacing,
        split=split,
        accumulate=accumulate,
        width=width,
        strategy=strategy,
        devices=devices,
        **hyperparams,
    )
    with progress_bar(progress, test.plan.model_steps, "range test") as bar:
        losses = test.climbed(bar)
    return RangeTest(
        test.rates, losses, test.over, list(test.plan.seeds), split, smoothing, divergence
    )


def _check_reading(smoothing: float, divergence: float) -> None:
    if not 0 <= smoothing <= 0.5:
        raise ValueError(f"smoothing must be in [0, 0.5], got {smoothing!r}")
    if not (np.isfinite(divergence) and divergence > 1):
        raise ValueError(f"divergence must be a finite number > 1, got {divergence!r}")
