"""Does the best learning rate of a narrow net hold for a wide one?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

from lropt_jax.comparisons.inference import Interval, at_least
from lropt_jax.comparisons.slopes import best_between, slope_of_best
from lropt_jax.optimizers import adam
from lropt_jax.plotting.axes import logarithmic
from lropt_jax.plotting.style import PALETTE, style
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.tasks.adapters import classification_task
from lropt_jax.tasks.data import load_data
from lropt_jax.tasks.task import Task

WIDTHS = (32, 128, 512)
RATES = np.geomspace(2e-4, 0.2, 13)
STEPS, SEEDS = 200, 5
WITHIN, BELOW = 0.2, -0.5
KINDS = ("standard", "muP")
FIRST, LAST = "Dense_0", "Dense_2"  # layers


def _each(change: Callable[[str, Any], Any], tree: Any) -> Any:
    """The tree with its leaves changed, by the names of their paths."""
    return jax.tree_util.tree_map_with_path(
        lambda path, x: change(jax.tree_util.keystr(path), x), tree
    )


def _task(width: int, mup: bool) -> Task:
    """40-w-w-10; under muP the last matrix begins at 0."""
    from lropt_jax.tasks.models import mlp

    task = classification_task(mlp((width, width, 10)), load_data("mnist1d"), batch_size=64)

    def init(key: Any) -> Any:
        params, state = task.init(key)
        return _each(lambda name, x: 0 * x if LAST in name else x, params), state

    return dataclasses.replace(task, init=init) if mup else task


def _factory(width: int, mup: bool) -> Any:
    """Adam, under muP with rates of the hidden and the last matrix that fall as 1 / width."""

    def scaled(updates: Any, params: Any) -> Any:
        def of(name: str, update: Any) -> Any:
            grows = "kernel" in name and FIRST not in name
            return update * (WIDTHS[0] / width) if grows else update

        return _each(of, updates)

    def made(learning_rate: Any) -> Any:
        tx = adam(learning_rate)
        return optax.chain(tx, optax.stateless(scaled)) if mup else tx

    return made


def _measure(bench: Bench) -> Data:
    widths = WIDTHS[: bench.scaled(len(WIDTHS), 2)]
    rates = RATES[:: bench.scaled(1, 3)].tolist()
    steps, seeds = bench.scaled(STEPS, 100), bench.seeds(SEEDS)
    found: Data = {"widths": widths, "rates": rates, "losses": {kind: [] for kind in KINDS}}
    for width in widths:
        for kind in KINDS:
            result = bench.sweep(
                f"{kind}-{width}", _task(width, kind == "muP"), _factory(width, kind == "muP"),
                {"learning_rate": rates}, seeds=seeds, steps=steps, eval_every=steps // 4,
                strategy="map",
            )  # fmt: skip
            # The mean of the batches' losses over the last quarter.
            found["losses"][kind].append(result.last("train_loss"))
    return found


def _slope(data: Data, kind: str) -> Interval:
    losses = np.array(data["losses"][kind], float)
    return slope_of_best(data["widths"], data["rates"], -losses)


def _best(data: Data, kind: str) -> list[float]:
    means = -np.array(data["losses"][kind], float).mean(axis=2)
    return [best_between(data["rates"], row) for row in means]


def _judge(data: Data) -> Judgement:
    standard, mup = (_slope(data, kind) for kind in KINDS)
    falls = True if standard.high <= BELOW else False if standard.low > BELOW else None
    best = {kind: _best(data, kind) for kind in KINDS}
    table = [
        {
            "width": width,
            **{f"best rate, {kind}": f"{best[kind][i]:.2g}" for kind in KINDS},
            **{
                f"loss there, {kind}": f"{np.nanmin(np.mean(data['losses'][kind][i], axis=1)):.4f}"
                for kind in KINDS
            },
        }
        for i, width in enumerate(data["widths"])
    ]
    return Judgement(
        at_least((mup.says(-WITHIN, WITHIN), falls), 2),
        f"slope of log best rate on log width: standard {standard}, muP {mup}",
        table,
    )


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(8.4, 3.8), layout="constrained")
        for axes, kind in zip(fig.subplots(1, 2, sharey=True), KINDS, strict=True):
            losses = np.array(data["losses"][kind], float).mean(axis=2)
            for width, row, best, colour in zip(
                data["widths"], losses, _best(data, kind), PALETTE, strict=False
            ):
                axes.plot(data["rates"], row, "o-", markersize=3, color=colour, label=width)
                axes.axvline(best, color=colour, linewidth=1, linestyle=":")
            axes.set_title(kind)
            axes.set_xscale("log")
            logarithmic(axes, "y")
            axes.set_xlabel("learning rate")
        fig.axes[0].set_ylabel("training loss, last quarter")
        fig.axes[1].legend(title="width; dotted: best")
    return fig


CLAIM = Claim(
    name="mup",
    title="The best rate of a narrow net for a wide one",
    claim="In the maximal update parametrization (muP) the best learning rate does not depend on "
    "the width, so that it can be tuned on a narrow net; in the usual one it falls with it.",
    source="Yang et al. 2022, arXiv:2203.03466",
    setting=f"MNIST-1D, 40-w-w-10, w = {', '.join(map(str, WIDTHS))}, Adam at a constant rate, "
    f"{STEPS} updates of 64, {len(RATES)} rates over three decades, {SEEDS} seeds; training loss "
    "over the last quarter. muP: rates of the hidden and the last matrix times 32/w, the last "
    "layer begins at 0",
    differs="The paper trains transformers and residual nets, wider and for longer.",
    expected="A slope of about 0 with muP, and of -0.5 to -1 without.",
    criterion="The slope of the log best rate (vertex of a parabola through the best and its "
    f"neighbours) on log width, with its 95% interval by a bootstrap over seeds: within ±{WITHIN:g}"
    f" for muP and at most {BELOW:g} for the usual parametrization, whole intervals.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "With muP the rate tuned on a narrow net holds for the wide one; without, "
        "the wide net needs a smaller one.",
        "not reproduced": "At this size the two parametrizations did not differ as claimed.",
        "undecided": "The slopes of the best rate straddle what was asked.",
    },
    advice="To carry a rate to a wider net, divide the rates of hidden and last matrices by the "
    "growth in width, or expect to tune again.",
    limits="One depth, one data set, widths up to 512, five seeds: the bootstrap's interval is on "
    "the short side.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    seeds=SEEDS,
)
