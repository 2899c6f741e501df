"""Adam with a constant rate and with rates that fall, each at its best."""

from __future__ import annotations

from typing import Any

import numpy as np

from lropt_jax.comparisons.inference import Interval, at_least, mean_within
from lropt_jax.optimizers import adam
from lropt_jax.plotting.style import style
from lropt_jax.problems import problem
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.reproductions.shaped import NETS, shaped
from lropt_jax.reproductions.showing import dots, percent, points
from lropt_jax.reproductions.tuned import tuned
from lropt_jax.sweeps.planning.space import log_grid

DECAYS = ("staircase", "cosine", "one_cycle", "linear")
STEPS, SEEDS, TUNING_SEEDS = 1000, 20, 2
MARGIN, NEEDED = 0.003, 3
CONFIDENCE = 1 - 0.05 / len(DECAYS)  # each interval, so that all of a net hold together


def _measure(bench: Bench) -> Data:
    steps = bench.scaled(STEPS, 200)
    rates = log_grid(3e-4, 3e-2, bench.scaled(7, 3))
    contestants = shaped(adam, ("constant", *DECAYS), rates, steps)
    return {
        net: tuned(
            bench, net, problem(net), contestants, steps, SEEDS, TUNING_SEEDS,
            select="valid_accuracy", strategy="map",
        )
        for net in NETS[: bench.scaled(len(NETS), 2)]
    }  # fmt: skip


def _differences(rows: Data) -> dict[str, np.ndarray]:
    constant = np.asarray(rows["constant"]["test_accuracy"], float)
    return {name: np.asarray(rows[name]["test_accuracy"], float) - constant for name in DECAYS}


def _needs(gains: list[Interval]) -> bool | None:
    """Whether some decay gains more than the margin, surely above 0; no where none can."""
    if any(gain.value > MARGIN and gain.low > 0 for gain in gains):
        return True
    return False if all(gain.high < MARGIN for gain in gains) else None


def _judge(data: Data) -> Judgement:
    table, answers, best = [], [], {}
    for net, rows in data.items():
        gains = {n: mean_within(d, CONFIDENCE) for n, d in _differences(rows).items()}
        answers.append(_needs(list(gains.values())))
        best[net] = max(gains.values(), key=lambda gain: gain.value)
        table.append(
            {
                "net": net,
                "constant, accuracy in %": percent(rows["constant"]["test_accuracy"]),
                **{f"{name}, points more": points(gain) for name, gain in gains.items()},
                "needs decay": {True: "yes", False: "no", None: "open"}[answers[-1]],
            }
        )
    gained = ", ".join(f"{net} {100 * gain.value:+.1f}" for net, gain in best.items())
    return Judgement(
        at_least(answers, NEEDED),
        f"a falling rate helps on {answers.count(True)} of {len(answers)} nets; the best one's "
        f"gain in points of test accuracy: {gained}",
        table,
    )


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(7.4, 4.0), layout="constrained")
        axes = fig.subplots()
        dots(axes, {net: _differences(rows) for net, rows in data.items()})
        axes.axhline(0, color="0.3", linewidth=1)
        axes.set_ylabel("points above the constant rate (test accuracy)")
        axes.set_title("What Adam gains from a rate that falls, each at its best rate")
        axes.legend(ncols=2)
    return fig


CLAIM = Claim(
    name="does_adam_need_decay",
    title="Does Adam need a falling learning rate?",
    claim="Adam adapts the step of each parameter, but only below the one learning rate: lowering "
    "that towards the end still makes it better.",
    source="Loshchilov and Hutter 2017, arXiv:1711.05101 (section 4.1), and many answers to the "
    "question since",
    setting=f"{len(NETS)} nets ({', '.join(NETS)}), {STEPS:,} updates; Adam with a constant rate, "
    "a staircase (times 0.95, fifty times), cosine, one-cycle and linear to 0, the peak of each "
    f"from 7 rates over two decades (widened at the edge) on {TUNING_SEEDS} seeds; {SEEDS} fresh "
    "seeds, the same for all",
    differs="The paper trains residual nets on CIFAR-10 for 100 epochs and more.",
    expected="Decay helps everywhere.",
    criterion=f"A net needs decay if some decay beats the constant rate by more than "
    f"{100 * MARGIN:g} points of test accuracy, with an interval above 0 (paired by seed, "
    f"{CONFIDENCE:.2%} for each of the {len(DECAYS)} decays); it does not if all intervals end "
    f"below {100 * MARGIN:g}. Reproduced: {NEEDED} of {len(NETS)} nets need it.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "Adam, too, ends better when its learning rate falls: adapting the steps of "
        "parameters is no substitute for smaller steps at the end.",
        "not reproduced": "With the rate tuned, Adam did as well without decay on most nets.",
        "undecided": "Whether Adam gains from decay could not be told on enough nets.",
    },
    advice="Let Adam's rate fall to 0 over the training you can afford, and tune the peak; in a "
    "training that is cut short decay only costs.",
    limits="Small nets and short trainings; a training of another length may gain more or less.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    seeds=SEEDS,
)
