"""SGD with momentum against Adam at equal training accuracy, under two schedules."""

from __future__ import annotations

from typing import Any

import numpy as np

from lropt_jax.comparisons.inference import mean_within
from lropt_jax.plotting.style import style
from lropt_jax.problems import problem
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.reproductions.showing import dots, percent, points
from lropt_jax.reproductions.statistical.nets import mnist5k_cnn
from lropt_jax.reproductions.tuned import entries, tuned
from lropt_jax.tasks.task import Task

SEEDS, EPOCHS = 20, 60
CNN_SEEDS, CNN_TUNING_SEEDS, CNN_EPOCHS = 10, 1, 6
NAMES = ("momentum", "adam")
SCHEDULES = ("cosine", "constant")
POINTS, FITTED = 0.015, 0.995
TITLES = {"mnist1d": "MNIST-1D, dense net", "mnist5k": "MNIST-5k, convolutional net"}


def _compared(
    bench: Bench, label: str, task: Task, epochs: int, seeds: int, tuning_seeds: int
) -> Data:
    """The final accuracies by schedule and optimizer, one a fresh seed."""
    steps = bench.scaled(epochs, 2) * task.steps_per_epoch
    found: Data = {}
    for schedule in SCHEDULES:
        runs = tuned(
            bench,
            f"{label}-{schedule}",
            task,
            entries(NAMES, schedule, steps),
            steps=steps,
            seeds=seeds,
            tuning_seeds=tuning_seeds,
        )
        found[schedule] = {
            name: {
                "chosen": run["chosen"],
                "train": run["train_accuracy"],
                "test": run["test_accuracy"],
            }
            for name, run in runs.items()
        }
    return found


def _measure(bench: Bench) -> Data:
    found = {"mnist1d": _compared(bench, "mnist1d", problem("mnist1d_mlp"), EPOCHS, SEEDS, 3)}
    if not bench.quick:
        cnn = mnist5k_cnn()
        sizes = CNN_EPOCHS, CNN_SEEDS, CNN_TUNING_SEEDS
        found["mnist5k"] = _compared(bench, "mnist5k", cnn, *sizes)
    return found


def _gaps(found: Data) -> dict[str, np.ndarray]:
    """Momentum minus Adam, paired over seeds, by schedule."""
    return {
        schedule: np.subtract(*(found[schedule][name]["test"] for name in NAMES))
        for schedule in SCHEDULES
    }


def _judge(data: Data) -> Judgement:
    table = []
    for name, found in data.items():
        for schedule in SCHEDULES:
            row = {"data": name, "schedule": schedule}
            for method in NAMES:
                row[f"{method}, test %"] = percent(found[schedule][method]["test"])
                row[f"{method}, train %"] = f"{100 * np.mean(found[schedule][method]['train']):.1f}"
            row["momentum - Adam"] = points(mean_within(_gaps(found)[schedule]))
            table.append(row)
    found = data["mnist1d"]
    gap = _gaps(found)
    cosine, change = mean_within(gap["cosine"]), mean_within(gap["cosine"] - gap["constant"])
    fitted = min(np.mean(found["cosine"][m]["train"]) for m in NAMES)
    holds: bool | None = None
    if fitted >= FITTED:
        if cosine.value >= POINTS and cosine.low > 0 and change.low > 0:
            holds = True
        elif cosine.high < POINTS or change.high < 0:
            holds = False
    return Judgement(
        holds,
        f"MNIST-1D: momentum minus Adam {points(cosine)} points under cosine, "
        f"{points(mean_within(gap['constant']))} at a constant rate (difference "
        f"{points(change)}); under cosine both fit at least {100 * fitted:.1f}% of the training "
        "set",
        table,
    )


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(3.9 * len(data), 3.4), layout="constrained")
        for axes, (name, found) in zip(
            fig.subplots(1, len(data), squeeze=False)[0], data.items(), strict=True
        ):
            dots(axes, {s: {m: found[s][m]["test"] for m in NAMES} for s in SCHEDULES})
            axes.set_title(TITLES[name])
            axes.set_ylabel("test accuracy (%)")
        axes.legend()
    return fig


CLAIM = Claim(
    name="generalization_gap",
    title="SGD with momentum generalizes better than Adam",
    claim="At equal training accuracy SGD with momentum generalizes better than Adam.",
    source="Wilson et al. 2017, arXiv:1705.08292; Keskar and Socher 2017, arXiv:1712.07628",
    setting=f"MNIST-1D, 40-100-100-10, batch 64, {EPOCHS} epochs, 7 or more rates on 3 seeds each, "
    f"{SEEDS} fresh seeds, cosine and constant rates; beside it MNIST-5k with a quarter of the "
    f"width of the texts' convolutional net, {CNN_EPOCHS} epochs, "
    f"tuned on {CNN_TUNING_SEEDS} seed, {CNN_SEEDS} fresh ones",
    differs="The papers train VGG and residual nets on CIFAR-10 with stepwise decay.",
    expected="A gap of 1.5 points or more under cosine, and a smaller one, none, or the opposite "
    "one at a constant rate.",
    criterion=f"MNIST-1D, cosine: momentum above Adam by at least {100 * POINTS:g} points, "
    "interval above 0; and the gap is smaller at a constant rate: interval of the difference of "
    f"differences above 0. Where one fits less than {100 * FITTED:g}% of the training set, "
    "undecided.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "With a tuned rate that decays, SGD with momentum is ahead of Adam on new "
        "data, though both know the training set by heart; at a constant rate the gap is smaller: "
        "it is a statement about a schedule, too.",
        "not reproduced": "At this size the gap did not appear as claimed.",
        "undecided": "Whether there is a gap that matters, and whether the schedule makes it, "
        "could not be told.",
    },
    advice="Before you settle for Adam on a problem that you can fit perfectly, try momentum with "
    "a tuned rate under a decaying schedule.",
    limits="A small net on 3,500 examples; on language models Adam is ahead.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    seeds=SEEDS,
)
