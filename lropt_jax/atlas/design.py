"""What is trained, and what it costs: said before anything runs.

Sizes were settled on 25 November 2026 from the time that a step of Adam takes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from lropt_jax.atlas.entries import ENTRIES, FROZEN, REFERENCES, Configuration, Entry, entry
from lropt_jax.comparisons.match import FRESH_SEEDS
from lropt_jax.problems.catalogue import IN_TURN, METRICS, PROBLEMS
from lropt_jax.progress import several
from lropt_jax.sweeps.planning.draws import draw
from lropt_jax.sweeps.planning.space import uniform
from lropt_jax.validation import check_name

VERSION = "1.0"
DIMENSIONS = 8  # of the points that configurations are drawn at
WIDEST = 36  # lanes of a program: half of the configurations
TARGET_SEEDS = FRESH_SEEDS + 1_000

# Updates of a training, and evaluations on the way. The first from the quickest on.
STEPS = dict.fromkeys(PROBLEMS, 1000) | {
    "mnist1d_conv": 500, "mnist1d_gru": 500, "docs_transformer": 500,
}  # fmt: skip
EVALUATIONS = {"docs_ngram": 10, "docs_transformer": 10}

# Processor microseconds of an update of Adam, evaluations apart (see `lropt_jax.problem`), and
# how many times as long that of another optimizer takes.
MICROSECONDS = {
    "digits_linear": 8, "shuttle": 18, "noisy_quadratic": 21, "yeast": 49, "randhie": 54,
    "heavy_tails": 69, "mnist1d_mlp": 87, "mnist1d_batchnorm": 110, "docs_ngram": 260,
    "mnist5k_mlp": 340, "mnist1d_conv": 380, "mnist5k_autoencoder": 680,
    "docs_transformer": 1600, "mnist1d_gru": 1700,
}  # fmt: skip
COMPILING = 14.0  # processor seconds of a part: its programs, its data, its files
OVERHEAD = 1.4  # evaluations, optimizers dearer than Adam

QUICK_PROBLEMS = ("digits_linear", "shuttle", "noisy_quadratic", "mnist1d_mlp")
QUICK_ENTRIES = ("sgd", "sgdw", "rmsprop", "adam", "adamw", "nadamw", "lion", "muon")


@dataclasses.dataclass(frozen=True)
class Design:
    """What is trained. A part of it is one optimizer on one problem.

    Attributes:
      problems: their names, the quickest first.
      entries: the optimizers.
      configurations: drawn for each.
      few: the smaller of the two tuning budgets.
      rates: tried with all else as by default, so many over the four decades.
      seeds: fresh ones, of a chosen configuration.
      target_seeds: further ones, of those that set the targets.
      steps_share: of `STEPS`.
      quick: whether it is a quick look, to be believed in nothing.
    """

    problems: tuple[str, ...] = tuple(MICROSECONDS)
    entries: tuple[Entry, ...] = tuple(ENTRIES.values())
    configurations: int = 64
    few: int = 8
    rates: int = 8
    seeds: int = 10
    target_seeds: int = 20
    steps_share: float = 1.0
    quick: bool = False

    def steps(self, problem: str) -> int:
        """Updates of a training."""
        return max(1, round(STEPS[problem] * self.steps_share))

    def eval_every(self, problem: str) -> int:
        """Updates between evaluations of the chosen configurations."""
        return max(1, self.steps(problem) // EVALUATIONS.get(problem, 25))

    def tuning(self, entry: Entry) -> list[Configuration]:
        """The configurations that are tried: those drawn, then the rates."""
        # Of as many dimensions for all, so that what they share is drawn at the same points.
        spare = {f"spare {i}": uniform(0, 1) for i in range(len(entry.space), DIMENSIONS)}
        points = draw({**entry.space, **spare}, self.configurations, 0)
        drawn = [{name: point[name] for name in entry.space} for point in points]
        # In the middle of equal shares of the logarithm, so that none is an end of the range.
        at = [(i + 0.5) / self.rates for i in range(self.rates)]
        ladder = [{**entry.default, "learning_rate": entry.rates.at(u)} for u in at]
        return [{k: float(v) for k, v in c.items()} for c in (*drawn, *ladder)]

    def fresh(self) -> range:
        """The seeds of the chosen configurations."""
        return range(FRESH_SEEDS, FRESH_SEEDS + self.seeds)

    def for_targets(self, entry: Entry) -> range:
        """The seeds of the reruns that set the targets: none but of the references."""
        count = self.target_seeds if entry.name in REFERENCES else 0
        return range(TARGET_SEEDS, TARGET_SEEDS + count)

    @property
    def parts(self) -> list[tuple[str, Entry]]:
        """In the order in which they run: the quickest problem first."""
        return [(problem, entry) for problem in self.problems for entry in self.entries]

    def trainings(self, entry: Entry) -> int:
        """Of one part, at most: budgets may choose the same configuration."""
        tuned = self.configurations + self.rates
        return tuned + 3 * self.seeds + len(self.for_targets(entry))

    def seconds(self, problem: str, entry: Entry) -> float:
        """About the processor seconds of a part."""
        updates = self.trainings(entry) * self.steps(problem)
        return COMPILING + OVERHEAD * updates * MICROSECONDS[problem] * 1e-6

    def costs(self, cores: int) -> dict[str, Any]:
        """What it costs, as numbers: all of it, and of each of `problems`. Times are estimates."""
        trainings = sum(map(self.trainings, self.entries))
        problems = {
            problem: {
                "updates": self.steps(problem),
                "parts": len(self.entries),
                "trainings": trainings,
                "model_steps": trainings * self.steps(problem),
                "seconds": sum(self.seconds(problem, e) for e in self.entries) / cores,
            }
            for problem in self.problems
        }
        found: dict[str, Any] = {
            name: sum(row[name] for row in problems.values())
            for name in ("trainings", "model_steps", "seconds")
        }
        return {**found, "problems": problems}

    def plan(self, cores: int) -> str:
        """What would run, and what it costs."""
        costs = self.costs(cores)
        lines = [f"{'problem':22}{'updates':>8}{'parts':>7}{'trainings':>11}{'minutes':>9}"]
        for name, row in costs["problems"].items():
            lines.append(
                f"{name:22}{row['updates']:8}{row['parts']:7}{row['trainings']:11,}"
                f"{row['seconds'] / 60:9.1f}"
            )
        parts = sum(row["parts"] for row in costs["problems"].values())
        lines.append(
            f"{'together':22}{'':8}{parts:7}{costs['trainings']:11,}{costs['seconds'] / 60:9.1f}"
        )
        budgets = f"the defaults, {self.few} and {self.configurations} configurations"
        return "\n".join(
            [
                f"Atlas {VERSION}{', a quick look' if self.quick else ''}: "
                f"{several(len(self.entries), 'optimizer')} on "
                f"{several(len(self.problems), 'problem')}. Spaces frozen on {FROZEN}.",
                f"Each: {self.configurations} configurations drawn, {self.rates} rates with all "
                f"else as by default, one seed; then the best at {budgets} on {self.seeds} fresh "
                "seeds, tested once.",
                "",
                *lines,
                "",
                f"{costs['model_steps']:,} model-steps. The minutes are an estimate, not measured "
                f"here: on {several(cores, 'processor core')} like those that the sizes were "
                "settled on. It may be stopped at any moment, and goes on from there.",
            ]
        )


def strategy(problem: str, lanes: int) -> tuple[str, int]:
    """How lanes run, and how many at once: said, not timed, so that everywhere it is the same."""
    width = math.ceil(lanes / math.ceil(lanes / WIDEST))
    return "map" if problem in IN_TURN else "vmap", width


def metric_of(problem: str) -> tuple[str, str]:
    """What a problem is judged by, and which way it is better."""
    metric = METRICS[problem]
    return metric, "max" if metric == "accuracy" else "min"


def design(quick: bool = False, problems: Sequence[str] | None = None, **changes: Any) -> Design:
    """The standard design, or a quick look.

    Args:
      quick: 4 problems, 8 optimizers, 16 configurations, half as many updates, 5 seeds.
      problems: these alone.
      **changes: further attributes of `Design`.

    Raises:
      ValueError: for unknown problems; it lists the known ones.
    """
    made = Design()
    if quick:
        made = Design(
            problems=QUICK_PROBLEMS, entries=tuple(map(entry, QUICK_ENTRIES)), configurations=16,
            few=4, seeds=5, target_seeds=10, steps_share=0.5, quick=True,
        )  # fmt: skip
    for name in problems or ():
        check_name("problem", name, PROBLEMS)
    if problems:
        changes["problems"] = tuple(n for n in MICROSECONDS if n in problems)
    return dataclasses.replace(made, **changes)
