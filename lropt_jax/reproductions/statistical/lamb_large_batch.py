"""LAMB and LARS without warm-up against AdamW and SGD with it, in batches of half the data."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lropt_jax.comparisons.inference import at_least, mean_within, not_worse
from lropt_jax.comparisons.recipes import recipe
from lropt_jax.plotting.style import style
from lropt_jax.problems import problem
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.reproductions.shaped import shaped
from lropt_jax.reproductions.showing import dots, percent, points
from lropt_jax.reproductions.tuned import tuned

NETS = ("mnist1d_mlp", "mnist1d_batchnorm")
LAYERWISE, PLAIN = ("lamb", "lars"), ("adamw", "momentum")
WARM = tuple(f"{name}, warm-up" for name in PLAIN)
STEPS, SEEDS, TUNING_SEEDS = 300, 20, 2
MARGIN = 0.003


def _entries(steps: int) -> Any:
    found = {}
    for name in (*LAYERWISE, *PLAIN):
        made = recipe(name)
        shapes = ("cosine", "warm_cosine") if name in PLAIN else ("cosine",)
        for shape, entry in shaped(
            made.factory, shapes, made.learning_rates, steps, **made.fixed
        ).items():
            found[f"{name}, warm-up" if shape == "warm_cosine" else name] = entry
    return found


def _measure(bench: Bench) -> Data:
    steps, found = bench.scaled(STEPS, 40), {}
    for net in NETS[: bench.scaled(len(NETS), 1)]:
        task = problem(net)
        half = dataclasses.replace(task, batch_size=task.num_examples["train"] // 2)
        found[net] = tuned(
            bench, net, half, _entries(steps), steps, SEEDS, TUNING_SEEDS,
            select="valid_accuracy", strategy="map", eval_every=steps // 10,
        )  # fmt: skip
    return found


def _best(rows: Data, names: tuple[str, ...]) -> str:
    """The one that validation data prefer, on the fresh seeds."""
    return max(
        (name for name in names if "curves" in rows[name]),
        key=lambda name: np.mean(rows[name]["curves"]["valid_accuracy"], axis=0)[-1],
    )


def _gain(rows: Data) -> np.ndarray:
    """Of the better of LAMB and LARS over the better of AdamW and SGD with warm-up, by seed."""
    first, second = (
        np.asarray(rows[_best(rows, names)]["test_accuracy"], float) for names in (LAYERWISE, WARM)
    )
    difference: np.ndarray = first - second
    return difference


def _judge(data: Data) -> Judgement:
    table = [
        {
            "net": net,
            **{name: percent(row["test_accuracy"]) for name, row in rows.items()},
            "best without": _best(rows, LAYERWISE),
            "best with": _best(rows, WARM),
            "difference (points)": points(mean_within(_gain(rows))),
        }
        for net, rows in data.items()
    ]
    said = "; ".join(
        f"{row['net']}: {row['best without']} - {row['best with']} = {row['difference (points)']}"
        for row in table
    )
    answers = [not_worse(_gain(rows), MARGIN) for rows in data.values()]
    return Judgement(at_least(answers, len(answers)), f"points of test accuracy, {said}", table)


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(7.4, 4.0), layout="constrained")
        axes = fig.subplots()
        dots(
            axes,
            {
                net: {name: row["test_accuracy"] for name, row in rows.items()}
                for net, rows in data.items()
            },
        )
        axes.set_ylabel("test accuracy (%)")
        axes.set_title("Batches of half the data: who needs a warm-up?")
        fig.legend(loc="outside lower center", ncols=3)
    return fig


CLAIM = Claim(
    name="lamb_large_batch",
    title="Large batches without warm-up",
    claim="Scaling each layer's step by the norm of its weights (LARS, LAMB) makes very large "
    "batches work as well as tuned Adam or SGD, without their warm-up.",
    source="You et al. 2019, arXiv:1904.00962",
    setting=f"{', '.join(NETS)} at a batch of half the training set (1,750), {STEPS} updates, "
    "cosine; LAMB and LARS without warm-up, AdamW and SGD with momentum with 10% of warm-up and "
    f"without; each at the best of 7 rates over two decades (widened at the edge) on "
    f"{TUNING_SEEDS} seeds, other numbers at their defaults; {SEEDS} fresh seeds, the same for all",
    differs="The paper trains BERT and ResNet-50 with batches of 32k and more, and LAMB with a "
    "warm-up of its own.",
    expected="LAMB or LARS at least level with the others.",
    criterion="On both nets the better of LAMB and LARS is not worse by more than "
    f"{100 * MARGIN:g} points of test accuracy (one-sided, 97.5%, paired by seed) than the better "
    "of AdamW and SGD with warm-up; which is better is read on validation data.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "With half of the data in a batch LAMB or LARS without warm-up did as well "
        "as AdamW and SGD with it.",
        "not reproduced": "LAMB and LARS without warm-up were worse than tuned AdamW or SGD with "
        "it, on one net at least.",
        "undecided": "Whether LAMB or LARS is as good without warm-up could not be told.",
    },
    advice="Before you change the optimizer for a large batch, tune the rate of the one you have, "
    "with and without warm-up.",
    limits="Two small nets; a batch of 1,750 is half of this data and small by the paper's "
    "standards. Only rates are tuned.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    seeds=SEEDS,
)
