"""What most statistical claims measure: optimizers tuned alike, then fresh seeds in pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lropt_jax.comparisons.recipes import recipe, shape
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Data
from lropt_jax.tasks.task import Task

Entries = Mapping[str, tuple[Callable[..., Any], Any]]


def entries(names: Iterable[str], schedule: str, steps: int) -> Entries:
    """Factories and spaces for `tuned`: the recipes of these names under a schedule.

    Args:
      names: of optimizers, "momentum" or "nesterov"; the space is the recipe's rates.
      schedule: one of `recipes.SHAPES`.
      steps: updates of the training.
    """
    return {name: recipe(name).entry(shape(schedule), steps) for name in names}


def tuned(
    bench: Bench,
    label: str,
    task: Task | Callable[..., Task],
    contestants: Entries,
    steps: int,
    seeds: int,
    tuning_seeds: int = 3,
    **named: Any,
) -> Data:
    """Tunes each on validation data and retrains it on fresh seeds, the same for all: `compare`.

    Args:
      bench: of the run; a quick one takes 5 seeds, 1 for tuning.
      label: under which it is kept; a claim uses each once.
      task: the problem.
      contestants: a factory and a space by name.
      steps: updates of each training.
      seeds: fresh ones.
      tuning_seeds: seeds of each configuration while tuning.
      **named: more for `compare`, `eval_every` and `select` above all.

    Returns:
      For each name "chosen", a dict; every metric of the whole splits ("train_loss",
      "test_accuracy", ...), one a seed; and under "curves" what was evaluated while the chosen
      ones trained, (seeds, evaluations), with its "steps", if `eval_every` is given.
    """
    comparison = bench.compare(
        label,
        task,
        contestants,
        steps=steps,
        seeds=bench.seeds(seeds),
        tuning_seeds=bench.scaled(tuning_seeds, 1),
        **named,
    )
    found: Data = {}
    for name, contestant in comparison.contestants.items():
        metrics = [m for m in comparison.metrics if m.startswith(("train_", "test_"))]
        row: Data = {m: contestant.final(m) for m in metrics}
        row["chosen"] = contestant.chosen
        row["configurations"] = contestant.configurations
        if named.get("eval_every") and contestant.chosen:
            curves = {m: v[0] for m, v in contestant.retraining.values.items()}
            row["curves"] = {"steps": contestant.retraining.steps, **curves}
        found[name] = row
    return found
