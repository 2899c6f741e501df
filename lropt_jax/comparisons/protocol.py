"""`compare`: equal budgets, selected on validation, fresh seeds, tested once."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from lropt_jax.comparisons.comparison import Comparison
from lropt_jax.comparisons.match import FRESH_SEEDS as FRESH_SEEDS
from lropt_jax.comparisons.match import Match, Optimizers
from lropt_jax.comparisons.preparing import Prepared, prepared
from lropt_jax.comparisons.splits import redrawn
from lropt_jax.progress import Progress, progress_bar
from lropt_jax.tasks.task import Task


def compare(
    task: Task | Callable[..., Task],
    optimizers: Optimizers,
    steps: int = 1000,
    seeds: int = 10,
    tuning_seeds: int = 3,
    trials: int | None = None,
    eval_every: int | None = None,
    select: str | None = None,
    mode: str | None = None,
    key: Any = 0,
    strategy: str = "auto",
    width: int | None = None,
    devices: int | Sequence[Any] | None = None,
    directory: str | os.PathLike[str] | None = None,
    progress: bool | Progress = True,
    *,
    splits: int = 1,
    smallest_difference: float | None = None,
    target: float | None = None,
) -> Comparison:
    """Compares optimizers as a careful reviewer would.

    Each is tuned on the same number of configurations and seeds; its configuration is selected on
    the validation split, and retrained on fresh seeds, the same for all. Only these retrained
    models meet the test split.

    Where a choice lies on the edge of a `log_grid`, the grid is widened until it does not. Then
    everyone is given as many configurations as the one that tried most: the others spend theirs
    between their own best values (a sampled space: on the next points of its sequence; one that
    diverged everywhere: on smaller values). So a grid that was placed badly, or that is small,
    favours nobody, and "the same budget" counts what was truly trained. Listed values and lists of
    configurations are left as they are; where budgets then differ, every table says so.

    When to use:
      To say in a paper, or to yourself, which of several optimizers is better here. Start
      with 2 to 5 optimizers, spaces whose best values lie inside, and 10 seeds. Its intervals
      are over seeds on one split: say `splits=5` where the claim is about the problem.

    Args:
      task: the training problem, with validation and test splits, or a function of names in the
        spaces that returns it.
      optimizers: maps a name to a factory and its space (see `sweep`).
      steps: updates of each training.
      seeds: fresh seeds to retrain the chosen configurations on.
      tuning_seeds: seeds of each configuration while tuning. With 1, a choice is partly luck.
      trials: configurations of each optimizer, sampled; None for the full grid.
      eval_every: updates between evaluations; None evaluates at the end only.
      select: the metric to select by; by default `valid_accuracy` where the task has one, else
        `valid_loss`, else its only validation metric. The same metric decides on the test split.
      mode: "min" or "max"; by default what the metric's name says, see `SweepResult.best`.
      key: an int seed or a JAX key.
      strategy: as in `sweep`; "auto" is resolved once, for all optimizers. Figures are the same to
        the last bit only at the same strategy, width and number of devices.
      width: lanes of the compiled program, the same for tuning and retraining.
      devices: as in `sweep`.
      directory: where progress is kept, a folder an optimizer and phase (see `sweep`): the same
        call goes on where it was interrupted; with more `seeds` it trains those that are new.
      progress: whether to show a live progress line.
      splits: how many splits of the data the whole comparison is repeated on: the task's own, then
        others of the same sizes, dealt from all its examples, which must be exchangeable. Intervals
        are then over splits, not only over seeds.
      smallest_difference: the smallest difference that matters, in the unit of the deciding metric
        (0.005 for half a point of accuracy); a smaller one is called a tie. By default a quarter of
        the standard deviation between the best's seeds, and at least one example of the test split.
      target: the value of `select` that the updates are counted to; by default the median of what
        the optimizers come to.

    Returns:
      A `Comparison`. An optimizer none of whose configurations finished is a row that says so.

    Raises:
      ValueError: for arguments that do not fit, naming the optimizer where it is one's; for a task
        without validation or test split. All before anything is compiled.

    Reference:
      Choi et al. 2019, On empirical comparisons of optimizers for deep learning,
      arXiv:1910.05446; Nadeau and Bengio 2003 (intervals over splits).

    See also:
      `tune` for an answer rather than a comparison, `sweep` for one optimizer, `reproduce`.

    Example:
      >>> from lropt_jax import adam, classification_task, compare, load_data, log_grid, models, sgd
      >>> task = classification_task(models.mlp((8, 10)), load_data("digits"))
      >>> result = compare(
      ...     task,
      ...     {
      ...         "sgd": (sgd, {"learning_rate": log_grid(0.03, 3.0, 3)}),
      ...         "adam": (adam, {"learning_rate": log_grid(0.001, 0.1, 3)}),
      ...     },
      ...     steps=60, seeds=2, tuning_seeds=1, progress=False,
      ... )
      >>> list(result.table().index)
      ['sgd', 'adam']
    """
    agreed = prepared(
        task, optimizers, steps, seeds, tuning_seeds, trials, eval_every, select, mode, key,
        strategy, width, devices, splits, smallest_difference, target,
    )  # fmt: skip
    return played(agreed, directory, progress)


def played(
    agreed: Prepared, directory: str | os.PathLike[str] | None, progress: bool | Progress
) -> Comparison:
    """Compares as was agreed. See `compare`."""
    task, outcomes, placement = agreed.task, [], agreed.placement
    with progress_bar(progress, agreed.model_steps, "compare") as bar:
        for number in range(agreed.protocol.splits):
            folder = None if directory is None else pathlib.Path(directory)
            if folder is not None and number:
                folder = folder / f"split-{number}"
            data = redrawn(task, number, agreed.first.key) if isinstance(task, Task) else task
            match = Match(
                data, agreed.optimizers, agreed.trials, agreed.when, agreed.key, placement,
                agreed.protocol, folder, bar,
            )  # fmt: skip
            outcome = match.play(agreed.evaluations)
            outcomes.append(outcome)
            placement = match.placement
    return dataclasses.replace(outcomes[0], repeats=tuple(outcomes[1:]))
