"""Six schedules under two optimizers on four nets: is linear to zero the one to take?"""

from __future__ import annotations

from typing import Any

import numpy as np

from lropt_jax.comparisons.inference import at_least, equality, mean_within
from lropt_jax.optimizers import adamw, sgd
from lropt_jax.plotting.style import style
from lropt_jax.problems import problem
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.reproductions.shaped import NETS, shaped
from lropt_jax.reproductions.showing import dots, percent, points
from lropt_jax.reproductions.tuned import tuned
from lropt_jax.sweeps.planning.space import log_grid
from lropt_jax.sweeps.results.statistics import holm, paired_tests

SCHEDULES = ("constant", "cosine", "linear", "one_cycle", "wsd", "inverse_sqrt")
OPTIMIZERS: dict[str, tuple[Any, dict[str, float], tuple[float, float]]] = {
    "momentum": (sgd, {"momentum": 0.9}, (3e-3, 0.3)),
    "adamw": (adamw, {}, (3e-4, 3e-2)),
}
STEPS, SEEDS, TUNING_SEEDS = 800, 20, 2
MARGIN, NEEDED = 0.003, 7
LEVEL = 0.05


def _measure(bench: Bench) -> Data:
    steps = bench.scaled(STEPS, 200)
    found: Data = {}
    for net in NETS[: bench.scaled(len(NETS), 1)]:
        for name, (factory, fixed, (low, high)) in OPTIMIZERS.items():
            rates = log_grid(low, high, bench.scaled(7, 3))
            contestants = shaped(factory, SCHEDULES, rates, steps, **fixed)
            found[f"{net}, {name}"] = tuned(
                bench, f"{net}-{name}", problem(net), contestants, steps, SEEDS, TUNING_SEEDS,
                select="valid_accuracy", strategy="map",
            )  # fmt: skip
    return found


def _above(rows: Data, name: str, other: str) -> np.ndarray:
    first, second = (np.asarray(rows[n]["test_accuracy"], float) for n in (name, other))
    difference: np.ndarray = first - second
    return difference


def _judge(data: Data) -> Judgement:
    raw = []
    for rows in data.values():
        pair = {n: np.asarray(rows[n]["test_accuracy"], float) for n in ("linear", "constant")}
        raw.append(paired_tests(pair)[0].p_value)
    table, answers, level = [], [], []
    for (where, rows), p in zip(data.items(), holm(np.array(raw)), strict=True):
        gain, beside = (mean_within(_above(rows, "linear", n)) for n in ("constant", "cosine"))
        better = bool(gain.value > 0 and p < LEVEL)
        # A gain that cannot be as large as what matters is none.
        answers.append(True if better else False if gain.high < MARGIN else None)
        level.append(equality(_above(rows, "linear", "cosine"), MARGIN))
        table.append(
            {
                "net, optimizer": where,
                "linear - constant (points)": points(gain),
                "p (Holm)": f"{p:.2g}",
                "linear - cosine (points)": points(beside),
                "as good as cosine": {True: "yes", False: "no", None: "open"}[level[-1]],
                **{name: percent(rows[name]["test_accuracy"]) for name in SCHEDULES},
            }
        )
    mean = np.mean([_above(rows, "linear", "cosine").mean() for rows in data.values()])
    return Judgement(
        at_least(answers, NEEDED),
        f"linear beats constant on {answers.count(True)} of {len(answers)}; against cosine it is "
        f"equal to {100 * MARGIN:g} points on {level.count(True)} and differs on "
        f"{level.count(False)}, {100 * mean:+.2f} points on average",
        table,
    )


def _figure(data: Data) -> Any:
    others = [name for name in SCHEDULES if name != "linear"]
    with style() as figure:
        fig = figure(figsize=(9.6, 4.4), layout="constrained")
        axes = fig.subplots()
        dots(
            axes,
            {
                where.replace("_", "_\n").replace(", ", "\n"): {
                    name: _above(rows, name, "linear") for name in others
                }
                for where, rows in data.items()
            },
        )
        axes.axhline(0, color="0.3", linewidth=1)
        axes.tick_params(axis="x", labelsize=8)
        axes.set_ylabel("points above linear to 0 (test accuracy)")
        axes.set_title("Other schedules beside linear to 0, each at its best rate")
        axes.legend(ncols=3)
    return fig


CLAIM = Claim(
    name="linear_to_zero",
    title="Linear decay to zero",
    claim="A rate that falls linearly to 0 is as good as or better than the other schedules in "
    "use, whatever the problem and the optimizer.",
    source="Defazio, Cutkosky, Mehta and Mishchenko 2023, arXiv:2310.07831",
    setting=f"{len(NETS)} nets ({', '.join(NETS)}), SGD with momentum 0.9 and AdamW, {STEPS} "
    f"updates; {', '.join(SCHEDULES)} (WSD and inverse square root warm up over 5%), the peak of "
    f"each from 7 rates over two decades (widened at the edge) on {TUNING_SEEDS} seeds; {SEEDS} "
    "fresh seeds, the same for all",
    differs="The paper has ten large problems of vision, language and others, and warms up.",
    expected="Linear beats constant nearly everywhere, and is level with cosine or slightly above.",
    criterion=f"Linear beats constant on at least {NEEDED} of 8 (paired t-tests, p < {LEVEL:g} "
    f"after Holm's correction); where the 95% interval of the gain ends below {100 * MARGIN:g} "
    f"points it does not. Against cosine, reported beside: TOST at {100 * MARGIN:g} points.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "A straight line to zero beats a constant rate nearly everywhere: it is the "
        "schedule to begin with.",
        "not reproduced": "A straight line to zero was no better than a constant rate on several "
        "of the problems.",
        "undecided": "Whether linear decay beats a constant rate everywhere could not be told.",
    },
    advice="Begin with linear decay to 0 and tune the peak. If you try others, try those that warm "
    "up: one-cycle and a trapezoid were ahead where the training was short.",
    limits="Short trainings of small nets, without warm-up for linear and cosine.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    seeds=SEEDS,
)
