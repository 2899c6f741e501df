"""The lecture's net on MNIST: SGD with momentum and plateaus against Adam and its relatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from lropt_jax.comparisons.inference import equality, mean_within
from lropt_jax.comparisons.recipes import recipe
from lropt_jax.optimizers import sgd
from lropt_jax.plotting.style import style
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.reproductions.showing import dots, percent, points
from lropt_jax.reproductions.tuned import Entries, entries, tuned
from lropt_jax.schedules import reduce_on_plateau
from lropt_jax.tasks.adapters import classification_task
from lropt_jax.tasks.data import load_data
from lropt_jax.tasks.task import Task

SEEDS, EPOCHS = 20, 30
BATCHES = (64, 1024)
ADAPTIVE = ("adam", "adamw", "adabelief")
SGD = "sgd, plateaus"
MARGIN = 0.01
LECTURE = {SGD: "97.34", "adam": "97.37", "adamw": "97.29", "adabelief": "97.20"}


def _task(batch: int) -> Task:
    from lropt_jax.tasks.models import mlp

    net = mlp((75, 45, 10), dropout=(0.5, 0.3), batch_norm=True)
    return classification_task(net, load_data("mnist5k"), batch)


def _plateaus(learning_rate: Any) -> Any:
    """Cut by ten where the validation loss has not fallen for three epochs."""
    return sgd(reduce_on_plateau(learning_rate, factor=0.1, patience=3), momentum=0.9)


def _measure(bench: Bench) -> Data:
    found: Data = {}
    for batch in BATCHES:
        task = _task(batch)
        steps = bench.scaled(EPOCHS, 2) * task.steps_per_epoch
        # The lecture's second batch is tried with SGD and Adam alone.
        names = ADAPTIVE if batch == BATCHES[0] else ADAPTIVE[:1]
        contestants: Entries = {
            SGD: (_plateaus, {"learning_rate": recipe("momentum").learning_rates}),
            **entries(names, "constant", steps),
        }
        runs = tuned(
            bench,
            f"batch-{batch}",
            task,
            contestants,
            steps=steps,
            seeds=SEEDS,
            eval_every=task.steps_per_epoch,
        )
        found[str(batch)] = {
            name: {"test": run["test_accuracy"], "rate": run["chosen"]["learning_rate"]}
            for name, run in runs.items()
        }
    return found


def _judge(data: Data) -> Judgement:
    table = []
    for batch, runs in data.items():
        for name, run in runs.items():
            difference = mean_within(np.subtract(run["test"], runs[SGD]["test"]), 0.9)
            row = {
                "batch": batch,
                "optimizer": name,
                "rate": f"{run['rate']:.2g}",
                "test accuracy %": percent(run["test"]),
                "minus SGD (90% interval)": "" if name == SGD else points(difference),
                "the lecture, one seed": LECTURE[name] if batch == str(BATCHES[0]) else "",
            }
            table.append(row)
    small, large = (data[str(batch)] for batch in BATCHES)
    difference = np.subtract(small[SGD]["test"], small["adam"]["test"])
    of_batch = np.subtract(small[SGD]["test"], large[SGD]["test"])
    return Judgement(
        equality(difference, MARGIN),
        f"SGD minus Adam {points(mean_within(difference, 0.9))} points (90% interval); batch "
        f"{BATCHES[0]} minus {BATCHES[1]:,}, SGD, in as many epochs "
        f"{points(mean_within(of_batch))}",
        table,
    )


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(6.4, 3.4), layout="constrained")
        axes = fig.subplots()
        groups = {
            f"batch {batch}": {name: run["test"] for name, run in runs.items()}
            for batch, runs in data.items()
        }
        dots(axes, groups)
        axes.set_ylabel("test accuracy (%)")
        axes.set_title("The lecture's net")
        axes.legend()
    return fig


CLAIM = Claim(
    name="lecture_tie",
    title="On MNIST, SGD with momentum and Adam come out equal",
    claim="A small net for MNIST learns as well with SGD, momentum and a falling rate as with Adam "
    "and its relatives.",
    source="STAT 453, lecture 12, one seed each; AdamW arXiv:1711.05101, AdaBelief "
    "arXiv:2010.07468",
    setting=f"MNIST-5k, 784-75-45-10 with batch-norm and dropout .5 and .3, {EPOCHS} epochs, batch "
    f"{BATCHES[0]} (SGD and Adam with {BATCHES[1]:,}, too), 7 or more rates on 3 seeds each, "
    f"{SEEDS} fresh seeds; SGD's rate is cut by ten on plateaus, the others' is constant",
    differs="The lecture trains on 60,000 images, 12 times as many; plateaus are those of the "
    "validation loss here, where the lecture looks at a minibatch's.",
    expected="Equal at batch 64: the lecture's differences are those of a few test images.",
    criterion=f"SGD and Adam at batch {BATCHES[0]} are equivalent within ±{100 * MARGIN:g} point "
    "(TOST, paired). Not reproduced where the 95% interval lies outside.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "On a problem as easy as MNIST the choice between tuned SGD with momentum "
        "and tuned Adam does not matter.",
        "not reproduced": "Tuned SGD and tuned Adam differ by more than a point.",
        "undecided": "Neither a tie nor a difference could be shown.",
    },
    advice="On easy problems take what you know how to tune; spend the effort elsewhere.",
    limits="A twelfth of the data, so that accuracies are lower than the lecture's.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    seeds=SEEDS,
)
