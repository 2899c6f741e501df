"""The largest stable learning rate on a quadratic, by trainings on ever finer grids."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from lropt_jax import optimizers
from lropt_jax.plotting.style import style
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.tasks.task import Task

CURVATURES = np.array([0.5, 3.0, 20.0])
TURNS, RATES, STEPS = 10, 15, 3_000  # 15 rates a turn leave a sixteenth: 40 bisections
HUGE = 1e100  # an eps beside which the moments of Adam are nothing: its preconditioner is frozen
TOLERANCE = 0.005

MOMENTUM = 0.9
METHODS: dict[str, tuple[Any, float]] = {
    "gradient descent": (optimizers.sgd, 2.0),
    "heavy ball": (
        lambda learning_rate: optimizers.sgd(learning_rate, momentum=MOMENTUM),
        2 + 2 * MOMENTUM,
    ),
    "Nesterov": (
        lambda learning_rate: optimizers.sgd(learning_rate, momentum=MOMENTUM, nesterov=True),
        (2 + 2 * MOMENTUM) / (1 + 2 * MOMENTUM),
    ),
    "Adam, preconditioner frozen": (
        lambda learning_rate: optimizers.adam(HUGE * learning_rate, b1=MOMENTUM, eps=HUGE),
        (2 + 2 * MOMENTUM) / (1 - MOMENTUM),
    ),
}


def _task() -> Task:
    def loss(x: Any) -> Any:
        return 0.5 * jnp.sum(CURVATURES * x**2)

    data = {"x": np.zeros((1, 1))}
    return Task(
        init=lambda key: (jnp.full(len(CURVATURES), 1e-3), {}),
        loss=lambda x, state, batch, key: (loss(x), (state, {})),
        evaluate=lambda x, state, batch: {"loss": jnp.full(len(batch["x"]), loss(x))},
        train=data,
        valid=data,
        batch_size=1,
    )


def _measure(bench: Bench) -> Data:
    found = {}
    with bench.float64():
        task = _task()
        begin = 0.5 * CURVATURES.sum() * 1e-6
        for name, (method, _) in METHODS.items():
            low, high = 0.0, 100.0 / CURVATURES.max()
            for _ in range(TURNS):
                rates = np.linspace(low, high, RATES + 2)[1:-1]
                result = bench.sweep(
                    None,
                    task,
                    method,
                    {"learning_rate": rates.tolist()},
                    steps=STEPS,
                    strategy="vmap",
                )
                losses = result.last("valid_loss")[:, 0]
                stable = np.isfinite(losses) & (losses < begin)
                first = int(np.argmin(np.append(stable, False)))  # the first that is not
                edges = [low, *rates, high]
                low, high = edges[first], edges[first + 1]
            found[name] = low * CURVATURES.max()
    return {"found": found}


def _judge(data: Data) -> Judgement:
    table, errors = [], []
    for name, value in data["found"].items():
        theory = METHODS[name][1]
        errors.append(abs(value / theory - 1))
        table.append(
            {
                "method": name,
                "largest stable rate x curvature": f"{value:.4f}",
                "theory": f"{theory:.4f}",
                "relative error": f"{errors[-1]:.2%}",
            }
        )
    return Judgement(
        max(errors) < TOLERANCE,
        "rate times curvature: "
        + ", ".join(f"{name} {value:.3f}" for name, value in data["found"].items()),
        table,
    )


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(6.0, 2.8), layout="constrained")
        axes = fig.subplots()
        names = list(data["found"])
        places = np.arange(len(names))
        axes.plot([METHODS[n][1] for n in names], places, "k|", markersize=24, label="theory")
        axes.plot([data["found"][n] for n in names], places, "o", label="measured")
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xticks([1, 2, 4, 10, 40], ["1", "2", "4", "10", "40"])
        axes.minorticks_off()
        axes.set_xlabel("largest stable learning rate x largest curvature")
        axes.set_title("How large a rate a curvature bears")
        fig.legend(loc="outside right upper")
    return fig


CLAIM = Claim(
    name="stability",
    title="The largest stable learning rate",
    claim="On a quadratic with largest curvature λ, gradient descent is stable below the rate "
    "2/λ, heavy ball below (2+2b)/λ, Nesterov below (2+2b)/((1+2b)λ), and Adam with a frozen "
    "preconditioner below (2+2b1)/((1-b1)λ), λ being that of the preconditioned curvature.",
    source="Cohen et al. 2021, arXiv:2103.00065; Cohen et al. 2022, arXiv:2207.14484",
    setting=f"Curvatures {', '.join(f'{h:g}' for h in CURVATURES)}; b = {MOMENTUM}; "
    f"{STEPS:,} updates of {RATES} rates a turn, {TURNS} turns, float64",
    differs="Adam's preconditioner is frozen by an eps beside which its moments vanish.",
    expected="2, 3.8, 1.357 and 38.",
    criterion=f"Each within {TOLERANCE:.1%} of theory.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "The steepest direction alone sets the largest rate: momentum bears more of "
        "it than gradient descent, Nesterov less, and Adam's average nineteen times as much.",
        "not reproduced": "The thresholds differ from theory.",
        "undecided": "The thresholds could not be decided.",
    },
    advice="A run that diverges at once has a rate above the threshold of its largest curvature: "
    "halve the rate, or warm it up until the curvature has fallen.",
    limits="Quadratics; in a network the curvature moves with training (see edge_of_stability).",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    kind="exact",
)
