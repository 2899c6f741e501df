"""L2 and weight decay are one thing for SGD and two for Adam."""

from __future__ import annotations

from typing import Any

import numpy as np

from lropt_jax import optimizers
from lropt_jax.plotting.style import style
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.reproductions.exact.paths import difference, path, paths, random_gradients

STEPS, SIZE, RATE, DECAY = 300, 50, 0.01, 1e-3  # the decay is a share of the weights a step
STRENGTHS = np.concatenate([[0.0], np.geomspace(1e-6, 1e4, 201)])
TOLERANCE = 1e-12
UNEXPLAINED = 0.1


def _measure(bench: Bench) -> Data:
    with bench.float64():
        gradients, start = random_gradients(STEPS, SIZE), np.linspace(-2.0, 2.0, SIZE)

        def along(tx: Any) -> np.ndarray:
            return path(tx, gradients, start)

        decay: dict[str, Any] = {"weight_decay": DECAY, "independent_decay": True}
        sgd = difference(
            along(optimizers.sgd(RATE, **decay)), along(optimizers.sgd(RATE, l2=DECAY / RATE))
        )
        plain, decayed = along(optimizers.adam(RATE)), along(optimizers.adam(RATE, **decay))
        effect = np.linalg.norm(decayed - plain)
        tried = paths(lambda s: optimizers.adam(RATE, l2=s), STRENGTHS, gradients, start)
        left = np.linalg.norm(tried - decayed, axis=(1, 2)) / effect
    return {"sgd": sgd, "strengths": STRENGTHS, "left": left}


def _judge(data: Data) -> Judgement:
    best = int(np.argmin(data["left"]))
    share, strength = data["left"][best], data["strengths"][best]
    table = [
        {"optimizer": "SGD", "L2 against decay": f"equal to {data['sgd']:.1e}"},
        {
            "optimizer": "Adam",
            "L2 against decay": f"at the best L2 ({strength:.2g}) {share:.0%} of the decay's "
            "effect is unexplained",
        },
    ]
    return Judgement(
        data["sgd"] <= TOLERANCE and share >= UNEXPLAINED,
        f"SGD: equal to {data['sgd']:.1e}; Adam: the best of {len(STRENGTHS)} strengths leaves "
        f"{share:.0%} of the effect",
        table,
    )


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(6.0, 3.6), layout="constrained")
        axes = fig.subplots()
        axes.loglog(data["strengths"][1:], data["left"][1:])
        axes.axhline(1.0, linestyle=":", color="0.4")
        axes.set_xlabel("L2 strength given to Adam")
        axes.set_ylabel("distance to the decayed path,\nin units of the decay's effect")
        axes.set_title("No L2 does to Adam what weight decay does")
    return fig


CLAIM = Claim(
    name="adamw_propositions",
    title="L2 is weight decay for SGD, and not for Adam",
    claim="For SGD, L2 regularization of strength λ/α is weight decay of λ; for Adam there is no "
    "L2 strength that is.",
    source="Loshchilov and Hutter 2019, propositions 1 and 2, arXiv:1711.05101",
    setting=f"{STEPS} random gradients of {SIZE} coordinates, of scales from 0.001 to 1, float64",
    differs="The paper proves it; here the very functions that train are compared.",
    expected="Equal paths for SGD; for Adam a gap at every strength.",
    criterion=f"SGD equal to {TOLERANCE:g}; for Adam each of {len(STRENGTHS)} strengths leaves at "
    f"least {UNEXPLAINED:.0%} of the decay's effect unexplained.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "Adam divides L2's pull by the gradients' size, so weights with large "
        "gradients hardly decay: use AdamW's weight decay instead.",
        "not reproduced": "The propositions do not hold for the equations here.",
        "undecided": "The propositions could not be decided.",
    },
    advice="With Adam use `adamw` (decoupled decay); with SGD either will do.",
    limits="It says that the two differ, not which of them generalizes better.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    kind="exact",
)
