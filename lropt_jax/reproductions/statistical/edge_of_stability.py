"""Training on whole batches runs at the edge of stability: sharpness rises to its limit."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from lropt_jax.comparisons.inference import Interval, mean_within
from lropt_jax.optimizers import adam, sgd
from lropt_jax.plotting.style import colours, style
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.tasks.adapters import regression_task
from lropt_jax.tasks.data import Dataset, load_data
from lropt_jax.tasks.task import Task

EXAMPLES, SEEDS, STEPS, EVERY = 600, 10, 1200, 50
MOST = 5  # of the six rates of each


def _heavy_ball(learning_rate: Any) -> Any:
    return sgd(learning_rate, momentum=0.9)


# A factory, what is watched, the rates, and the bounds of sharpness / limit at the end.
METHODS: dict[str, tuple[Any, str, tuple[float, ...], tuple[float, float]]] = {
    "gradient descent": (sgd, "sharpness", (0.65, 0.75, 0.85, 1.0, 1.2, 1.4), (0.9, 1.15)),
    "heavy ball": (_heavy_ball, "sharpness", (0.6, 0.65, 0.7, 0.8, 0.9, 1.0), (0.9, 1.15)),
    "Adam": (
        adam,
        "preconditioned_sharpness",
        (0.003, 0.0035, 0.004, 0.005, 0.006, 0.008),
        (0.8, 1.2),
    ),
}
# Its limit lies far above what sharpness ever comes to.
LOW, LOW_RATE = "gradient descent", 0.02


def _task(examples: int) -> Task:
    """Whole batches of MNIST-1D, squared errors, hyperbolic tangents: smooth enough to look at."""
    from lropt_jax.tasks.models import mlp

    data = load_data("mnist1d").train
    split = {
        "x": data["x"][:examples],
        "y": np.eye(10, dtype=np.float32)[data["y"][:examples]],
    }
    net = mlp((100, 100, 10), jax.numpy.tanh)
    return regression_task(net, Dataset(split, split, split), batch_size=examples)


def _measure(bench: Bench) -> Data:
    examples = bench.scaled(EXAMPLES, 100)
    task = _task(examples)
    found: Data = {}
    for name, (factory, watched, rates, _) in METHODS.items():
        tried = [*rates, LOW_RATE] if name == LOW else list(rates)
        result = bench.sweep(
            name.replace(" ", "-"),
            task,
            factory,
            {"learning_rate": tried[:: bench.scaled(1, 3)]},
            seeds=bench.scaled(SEEDS, 2),
            steps=bench.scaled(STEPS, 300),
            eval_every=EVERY,
            watch=(watched,),
            watch_examples=examples,
        )
        ratio = result.values[watched] / result.values[f"{watched}_limit"]
        found[name] = {
            "rates": [trial["learning_rate"] for trial in result.trials],
            "steps": result.steps,
            "ratio": ratio,
        }
    return found


def _ends(found: Data) -> list[Interval]:
    """Sharpness over its limit, the mean of the last third, for each rate."""
    ratio = np.asarray(found["ratio"], float)
    last = ratio[:, :, -(ratio.shape[2] // 3) :].mean(axis=2)
    return [mean_within(row) for row in last]


def _judge(data: Data) -> Judgement:
    table, answers, words = [], [], []
    for name, (_, _, rates, bounds) in METHODS.items():
        says = []
        for rate, end in zip(data[name]["rates"], _ends(data[name]), strict=True):
            at_edge = end.says(*bounds)
            if name == LOW and rate == LOW_RATE:
                answers.append(end.says(0.0, bounds[0]))  # it must not arrive
            else:
                says.append(at_edge)
            word = {True: "yes", False: "no", None: "?"}[at_edge]
            row = {"method": name, "rate": f"{rate:g}", "sharpness / limit": str(end)}
            table.append({**row, "at the edge": word})
        missing = len(rates) - MOST
        enough = True if says.count(True) >= MOST else None
        answers.append(False if says.count(False) > missing else enough)
        words.append(f"{name} at the edge for {says.count(True)} of {len(says)} rates")
    holds = False if False in answers else None if None in answers else True
    return Judgement(holds, "; ".join(words), table)


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(3.2 * len(data), 3.2), layout="constrained")
        panels = fig.subplots(1, len(data), sharey=True)
        for axes, (name, found) in zip(panels, data.items(), strict=True):
            colour = colours(map(str, found["rates"]))
            for rate, ratio in zip(found["rates"], found["ratio"], strict=True):
                mean = np.nanmean(np.asarray(ratio, float), axis=0)
                axes.plot(found["steps"], mean, color=colour[str(rate)], label=f"{rate:g}")
            axes.axhline(1.0, color="0.3", linestyle=":")
            axes.set_title(name)
            axes.set_xlabel("updates")
            axes.legend(title="rate", fontsize="small")
        panels[0].set_ylabel("sharpness / limit")
    return fig


CLAIM = Claim(
    name="edge_of_stability",
    title="Training runs at the edge of stability",
    claim="On whole batches, the sharpness of the loss rises until it is at the largest value at "
    "which the optimizer's rate is stable, and stays there; Adam's is that of the preconditioned "
    "curvature.",
    source="Cohen et al. 2021, arXiv:2103.00065; Cohen et al. 2022, arXiv:2207.14484",
    setting=f"{EXAMPLES} examples of MNIST-1D as one batch, 40-100-100-10 with hyperbolic "
    f"tangents, mean squared error, {STEPS:,} updates, six rates each for gradient descent, heavy "
    f"ball (.9) and Adam, and one that is far too low; sharpness by Lanczos every {EVERY} updates, "
    f"{SEEDS} seeds",
    differs="The papers' nets learn 5,000 images of CIFAR-10, and cross-entropy, too.",
    expected="Sharpness over its limit, 2/η, (2+2b)/η and (2+2b1)/((1-b1)η), comes to 1.",
    criterion="Mean over the last third of the updates of sharpness over its limit, 95% interval "
    "over seeds: within [.9, 1.15] for gradient descent and heavy ball and [.8, 1.2] for Adam, for "
    f"at least {MOST} of 6 rates each; the rate that is too low stays below .9. Not reproduced "
    "where more than one rate lies outside.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "The rate decides how sharp a minimum can be: curvature grows until the rate "
        "is just stable, and training goes on there.",
        "not reproduced": "Sharpness did not settle at its limit for more than one of the rates.",
        "undecided": "For some rates the sharpness at the end is too uncertain to tell.",
    },
    advice="A loss that goes down in jolts is no reason to lower the rate: that is how training on "
    "large batches goes. Expect a higher rate to end in a flatter place.",
    limits="A small net, whole batches; with small ones sharpness stays below the limit.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    seeds=SEEDS,
)
