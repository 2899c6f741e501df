"""Adam need not converge: two convex problems on which it walks to the wrong end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax import optimizers
from lropt_jax.plotting.style import style
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.tasks.task import Task
from lropt_jax.training.fitting import fit

C, ROUNDS = 4.0, 1_000  # of the first problem
STEPS, LAST = 400_000, 20_000  # of the second one
WRONG, RIGHT = 0.9, -0.9


def _task(slope: Callable[[Any], Any]) -> Task:
    """The loss at update t (from 1) is slope(t)·x; the model's state counts the updates."""

    def loss(x: Any, t: Any, batch: Any, key: Any) -> Any:
        return slope(t) * x, (t + 1, {"x": x})

    nothing = {"x": np.zeros((1, 1))}
    return Task(
        init=lambda key: (jnp.ones(()), jnp.ones((), jnp.int32)),
        loss=loss,
        evaluate=lambda x, t, batch: {"x": jnp.full(len(batch["x"]), x)},
        train=nothing,
        valid=nothing,
        batch_size=1,
    )


def _on_the_interval(tx: optax.GradientTransformation) -> optax.GradientTransformation:
    """Each update ends in [-1, 1]."""

    def project(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        moved = optax.projections.projection_box(optax.apply_updates(params, updates), -1.0, 1.0)
        return jax.tree.map(jnp.subtract, moved, params), state

    return optax.chain(tx, optax.GradientTransformation(lambda _: optax.EmptyState(), project))


def _measure(bench: Bench) -> Data:
    with bench.float64():
        theorem = optimizers.adam(
            lambda count: 0.5 / jnp.sqrt(count + 1.0), b1=0.0, b2=1 / (1 + C**2), eps=0.0
        )
        first = _task(lambda t: jnp.where(t % 3 == 1, C, -1.0))
        ends = fit(first, _on_the_interval(theorem), 3 * ROUNDS, eval_every=3).history["valid_x"]
        periodic = _task(lambda t: jnp.where(t % 101 == 1, 1010.0, -10.0))
        means = {}
        for name, method in (("Adam", optimizers.adam), ("AMSGrad", optimizers.amsgrad)):
            tx = _on_the_interval(method(0.01, b1=0.9, b2=0.99))
            means[name] = fit(periodic, tx, STEPS, eval_every=LAST).history["train_x"]
    return {"ends": {"lowest": ends.min(), "rounds": len(ends)}, "means": means}


def _judge(data: Data) -> Judgement:
    lowest = data["ends"]["lowest"]
    adam, amsgrad = data["means"]["Adam"][-1], data["means"]["AMSGrad"][-1]
    table = [
        {
            "problem": "4x, -x, -x, ... (best: -1)",
            "method": "Adam",
            "where": f"x = {lowest:.12g} after every round of {data['ends']['rounds']:,}",
        },
        {
            "problem": "1010x once in 101, else -10x (best: -1)",
            "method": "Adam",
            "where": f"mean {adam:.3f} over the last {LAST:,} updates",
        },
        {
            "problem": "the same",
            "method": "AMSGrad",
            "where": f"mean {amsgrad:.3f} over the last {LAST:,} updates",
        },
    ]
    return Judgement(
        abs(lowest - 1.0) < 1e-12 and adam > WRONG and amsgrad < RIGHT,
        f"Adam stays at x = {lowest:.6g} after every round; on the periodic problem Adam's mean "
        f"is {adam:.3f} and AMSGrad's {amsgrad:.3f}",
        table,
    )


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(6.0, 3.4), layout="constrained")
        axes = fig.subplots()
        for name, means in data["means"].items():
            axes.plot(LAST * np.arange(1, len(means) + 1), means, "o-", markersize=3, label=name)
        axes.set_ylim(-1.1, 1.1)
        axes.set_xlabel("updates")
        axes.set_ylabel(f"x, mean over {LAST:,} updates")
        axes.set_title("The best x is -1: Adam goes to +1")
        axes.legend()
    return fig


CLAIM = Claim(
    name="reddi",
    title="Adam need not converge",
    claim="There are convex problems on which Adam does not converge to the optimum, for any "
    "number of updates; AMSGrad does.",
    source="Reddi et al. 2018, theorem 1 and section 5, arXiv:1904.09237",
    setting=f"Linear losses on [-1, 1] from x = 1, float64: C = {C:g}, b1 = 0, "
    f"b2 = 1/(1 + C²), rate 0.5/√t; and the periodic one with b = (0.9, 0.99), rate 0.01, "
    f"{STEPS:,} updates",
    differs="As in the paper, but for a constant rate in the periodic problem.",
    expected="x = 1 after every round of three; Adam near +1, AMSGrad near -1.",
    criterion=f"x = 1 to 1e-12 after each of {ROUNDS:,} rounds; over the last {LAST:,} of "
    f"{STEPS:,} updates Adam's mean above {WRONG} and AMSGrad's below {RIGHT}.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "Adam forgets rare large gradients sooner than they return, so it can walk "
        "away from the optimum; AMSGrad's running maximum remembers them.",
        "not reproduced": "Adam converges where the theorem says that it does not.",
        "undecided": "The problems could not be decided.",
    },
    advice="Where rare examples matter, raise b2 (or the batch), or try `amsgrad`; on most "
    "networks the two hardly differ.",
    limits="Problems made for the purpose; they say nothing about how often this happens.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    kind="exact",
)
