"""Some optimizers are others in disguise: equalities that hold to rounding."""

from __future__ import annotations

from typing import Any

import numpy as np

from lropt_jax import optimizers
from lropt_jax.plotting.style import style
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.reproductions.exact.paths import difference, path, paths, random_gradients

STEPS, SIZE, RATE, B1 = 200, 50, 0.01, 0.9
EPS = np.geomspace(1e2, 1e8, 7)
TOLERANCE = 1e-12
SLOPE = (-1.05, -0.95)


def _measure(bench: Bench) -> Data:
    with bench.float64():
        gradients, start = random_gradients(STEPS, SIZE), np.ones(SIZE)

        def compared(one: Any, other: Any) -> float:
            return difference(path(one, gradients, start), path(other, gradients, start))

        pairs = {
            "QHAdam(nu1=1, nu2=1) = Adam": compared(
                optimizers.qhadam(RATE, b1=B1, nu1=1.0, nu2=1.0), optimizers.adam(RATE, b1=B1)
            ),
            "QHM(nu=b) = Nesterov at rate (1-b)": compared(
                optimizers.qhm(RATE, momentum=B1, nu=B1),
                optimizers.sgd(RATE * (1 - B1), momentum=B1, nesterov=True),
            ),
            "QHM(nu=1) = momentum at rate (1-b)": compared(
                optimizers.qhm(RATE, momentum=B1, nu=1.0),
                optimizers.sgd(RATE * (1 - B1), momentum=B1),
            ),
            "NAdamW(decay 0) = NAdam": compared(
                optimizers.nadamw(RATE, weight_decay=0.0), optimizers.nadam(RATE)
            ),
        }
        # Adam corrects its average for the start: so does momentum at this rate.
        averaged = optimizers.qhm(lambda t: RATE / (1 - B1 ** (t + 1.0)), momentum=B1, nu=1.0)
        momentum = path(averaged, gradients, start)
        tried = paths(lambda e: optimizers.adam(RATE * e, b1=B1, eps=e), EPS, gradients, start)
        limit = [difference(momentum, one) for one in tried]
    return {"pairs": pairs, "eps": EPS, "limit": limit}


def _slope(data: Data) -> float:
    return float(np.polyfit(np.log(data["eps"]), np.log(data["limit"]), 1)[0])


def _judge(data: Data) -> Judgement:
    slope, worst = _slope(data), max(data["pairs"].values())
    table = [
        {"equality": name, "largest relative difference": f"{value:.1e}"}
        for name, value in data["pairs"].items()
    ]
    table.append(
        {
            "equality": "Adam(eps, rate·eps) → averaged momentum",
            "largest relative difference": f"falls as eps to the power {slope:.3f}",
        }
    )
    return Judgement(
        worst <= TOLERANCE and SLOPE[0] <= slope <= SLOPE[1],
        f"the four equalities hold to {worst:.1e}; Adam approaches momentum as eps^{slope:.3f}",
        table,
    )


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(6.0, 3.6), layout="constrained")
        axes = fig.subplots()
        axes.loglog(data["eps"], data["limit"], "o-", label="measured")
        axes.loglog(
            data["eps"],
            data["limit"][0] * data["eps"][0] / np.asarray(data["eps"]),
            ":",
            color="0.4",
            label="1/eps",
        )
        axes.set_xlabel("eps of Adam, its rate multiplied by eps")
        axes.set_ylabel("relative difference of the paths")
        axes.set_title("Adam becomes momentum")
        axes.legend()
    return fig


CLAIM = Claim(
    name="inclusion_exact",
    title="Optimizers that contain each other",
    claim="A more general optimizer contains the simpler ones as settings of its numbers.",
    source="Choi et al. 2019, arXiv:1910.05446; Ma and Yarats 2019, arXiv:1810.06801",
    setting=f"{STEPS} random gradients of {SIZE} coordinates, of scales from 0.001 to 1, float64",
    differs="The papers argue by algebra; here the very functions that train are compared.",
    expected="Equal paths, and a difference that falls as 1/eps where the inclusion is a limit.",
    criterion=f"Four equalities to {TOLERANCE:g} of the distance travelled; slope of the log "
    "difference on log eps -1 ± 0.05.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "Momentum is a special case of QHM and a limit of Adam, so a fair "
        "comparison that tunes Adam's eps cannot lose to momentum but by lack of budget.",
        "not reproduced": "Some equality fails: an equation here differs from its paper's.",
        "undecided": "The equalities could not be decided.",
    },
    advice="Whoever compares Adam with momentum should tune eps too, or say that it was fixed.",
    limits="Equal equations say nothing about how hard the better setting is to find.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    kind="exact",
)
