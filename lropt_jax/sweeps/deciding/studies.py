"""`search`: Optuna proposes, a population trains, batch after batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from lropt_jax.sweeps.engine import sweep
from lropt_jax.sweeps.planning.checks import check_seeds
from lropt_jax.sweeps.planning.space import Grid, Range, Space, Spaces, free_names, listed
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.tasks.metrics import direction, known_metric, names_of_metrics, usual_metric
from lropt_jax.tasks.task import Task, check_task
from lropt_jax.training.course import as_key
from lropt_jax.validation import require, whole_number

DEFAULT_BATCH = 16


def search(
    task: Task | Callable[..., Task],
    optimizer: Callable[..., Any],
    space: Spaces,
    trials: int,
    study: Any = None,
    batch: int = DEFAULT_BATCH,
    metric: str | None = None,
    mode: str | None = None,
    key: Any = 0,
    **arguments: Any,
) -> SweepResult:
    """Searches a space with an Optuna study: it proposes a batch, which trains as one program.

    A configuration is told by its metric's mean over seeds; one that diverged on any seed is told
    as the worst possible (+inf where less is better), so that the study learns from it; one that
    was pruned is told as pruned. Processes that share a study's storage (a journal file, a
    database) share what it has learned.

    When to use:
      When trials are dear and there are more than two or three hyperparameters. Start with
      batches of 8 to 16 and Optuna's default sampler. Not for fewer than 30 trials: random
      ones are as good, and a `sweep` of them is one program.

    Args:
      task, optimizer: as in `sweep`.
      space: as in `sweep`; ranges, grids and choices are the study's.
      trials: configurations to train in this call.
      study: an Optuna study; by default a new one with a TPE sampler, seeded by `key`, that
        spreads the proposals of a batch.
      batch: configurations that train at once.
      metric: to search by; by default as in `SweepResult.best`.
      mode: "min" or "max"; by default what the metric's name says, see `SweepResult.best`. Must be
        the study's direction.
      key: as in `sweep`.
      **arguments: further arguments of `sweep`.

    Returns:
      All trainings of this call, as one `SweepResult`, whose `best` goes by `metric` too.

    Raises:
      ValueError: for a study of the other direction or of several objectives, or bad arguments.
      ImportError: when Optuna is not installed.

    See also:
      `sweep`, `successive_halving`, `pbt`.

    Example:
      >>> from lropt_jax import adamw, log_uniform, problem, search
      >>> space = {"learning_rate": log_uniform(1e-4, 0.1), "weight_decay": log_uniform(1e-4, 1.0)}
      >>> task = problem("digits_linear")
      >>> result = search(task, adamw, space, trials=16, batch=8, steps=40, progress=False)
      >>> sorted(result.best())
      ['learning_rate', 'weight_decay']

      To go on another day, or in several processes at once, give it a study with a storage:

      >>> import optuna
      >>> study = optuna.create_study(storage="sqlite:///study.db")  # doctest: +SKIP
      >>> result = search(task, adamw, space, trials=64, study=study)  # doctest: +SKIP
    """
    require("search", "search", "optuna")
    import optuna

    left, batch = whole_number("trials", trials), whole_number("batch", batch)
    if "directory" in arguments:
        raise ValueError(
            "search keeps its progress in the study, and a search cannot grow in a directory: what "
            "it proposes depends on what it has seen. Give the study a storage "
            "(optuna.create_study(storage=..., load_if_exists=True)) and call search again with it"
        )
    if isinstance(task, Task):  # known before anything is asked or trained
        check_task(task)
        known, _ = names_of_metrics(task)
        metric = usual_metric(known) if metric is None else known_metric(metric, known)
    metric = metric or "valid_loss"
    mode = direction(metric, mode)
    if study is None:
        study = _new_study(optuna, mode, key)
    if not hasattr(study, "ask"):
        raise ValueError(f"study must be an Optuna study or None, got {study!r}")
    _check_direction(study, mode)
    spaces = listed(space)
    if not any(map(free_names, spaces)):
        raise ValueError("every value of the space is fixed: there is nothing to search")
    worst = np.inf if mode == "min" else -np.inf
    results: list[SweepResult] = []
    # One width for all batches, so that the program is compiled once.
    arguments["seeds"] = check_seeds(arguments.get("seeds", 1))
    arguments = {"width": min(batch, left) * len(arguments["seeds"]), **arguments}
    if arguments.get("keep") is not None:
        arguments = {"keep_by": (metric, mode), **arguments}
    while left:
        asked = [study.ask() for _ in range(min(batch, left))]
        try:
            proposed = [_proposed(trial, spaces) for trial in asked]
            result = sweep(task, optimizer, proposed, key=key, **arguments)
            means = result.means(metric)
        except BaseException:
            for trial in asked:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            raise
        for trial, mean, status in zip(asked, means, result.status, strict=True):
            if (status == "diverged").any() or (status == "finished").all():
                study.tell(trial, float(mean) if np.isfinite(mean) else worst)
            else:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        results.append(result)
        left -= len(asked)
    found = results[0].joined(*results[1:])
    found.by = found.by or (metric, mode)
    return found


def _new_study(optuna: Any, mode: str, key: Any) -> Any:
    seed = int(np.asarray(jax.random.key_data(as_key(key))).ravel()[-1])
    sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True, multivariate=False)
    way = "minimize" if mode == "min" else "maximize"
    return optuna.create_study(sampler=sampler, direction=way)


def _check_direction(study: Any, mode: str) -> None:
    directions = [d.name.lower() for d in study.directions]
    expected = {"min": "minimize", "max": "maximize"}
    if directions != [expected[mode]]:
        raise ValueError(
            f"the study's direction must be {expected[mode]} for mode={mode!r}, "
            f"got {', '.join(directions)}"
        )


def _proposed(trial: Any, spaces: Sequence[Space]) -> dict[str, Any]:
    """The configuration that a trial proposes, as a space of one point: what is static stays so.

    Of several spaces it chooses one first; the names of each are told apart by its place.
    """
    place = 0 if len(spaces) == 1 else trial.suggest_int("space", 0, len(spaces) - 1)
    prefix = "" if len(spaces) == 1 else f"{place}/"
    found = {}
    for name, dimension in spaces[place].items():
        found[name] = Grid((dimension,))
        if isinstance(dimension, Range):
            suggest = trial.suggest_int if dimension.whole else trial.suggest_float
            log = dimension.scale == "log"
            found[name] = Grid((suggest(prefix + name, dimension.low, dimension.high, log=log),))
        elif isinstance(dimension, Grid):
            found[name] = Grid((_chosen(trial, prefix + name, dimension),), static=dimension.static)
    return found


def _chosen(trial: Any, name: str, dimension: Grid) -> Any:
    """By place: Optuna's categories must be plain values, ours may be functions."""
    if all(isinstance(v, (str, bool, type(None))) for v in dimension.values):
        return trial.suggest_categorical(name, dimension.values)
    return dimension.values[trial.suggest_int(name, 0, len(dimension.values) - 1)]
