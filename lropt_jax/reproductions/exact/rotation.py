"""Under AdamW weights rotate by an angle a step that the rate and the decay fix together."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.comparisons.inference import equivalent
from lropt_jax.optimizers import adamw
from lropt_jax.plotting.style import style
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.tasks.task import Task

SIZE, SEEDS, B1 = 400, 32, 0.9
PRODUCTS = np.geomspace(1e-4, 3e-3, 6)  # of rate and decay
RATIOS = (0.01, 0.25)  # of rate to decay
BURN_IN, MEASURED = 3, 10  # in units of 1 / product
ANGLE, NORM, EQUAL = 0.01, 0.04, 0.03


def _predicted(product: float, ratio: float) -> tuple[float, float]:
    """The angle a step and the norm in equilibrium."""
    return math.sqrt(2 * product * (1 - B1) / (1 + B1)), math.sqrt(ratio * SIZE / 2)


def _task(ratio: float) -> Task:
    norm = _predicted(1.0, ratio)[1]

    def init(key: Any) -> Any:
        direction = jax.random.normal(key, (SIZE,))
        w = norm * direction / jnp.linalg.norm(direction)
        return w, w / norm

    def loss(w: Any, before: Any, batch: Any, key: Any) -> Any:
        # Uniform in 256 levels around 0: four numbers of each word of random bits.
        words = jax.random.bits(key, (SIZE // 4,), jnp.uint32)
        gradient = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(-1) - 127.5
        still = jax.lax.stop_gradient(w)
        length = jnp.linalg.norm(still)
        direction = still / length
        angle = 2 * jnp.arcsin(jnp.minimum(jnp.linalg.norm(direction - before) / 2, 1.0))
        return w @ gradient, (direction, {"angle2": angle**2, "length": length})

    nothing = {"x": np.zeros((1, 1), np.float32)}
    return Task(
        init=init,
        loss=loss,
        evaluate=lambda w, before, batch: {"loss": jnp.zeros(len(batch["x"]))},
        train=nothing,
        batch_size=1,
    )


def _measure(bench: Bench) -> Data:
    rows = []
    for product in PRODUCTS.tolist():
        every = math.ceil(1 / product)
        for ratio in RATIOS:
            rate, decay = math.sqrt(product * ratio), math.sqrt(product / ratio)
            result = bench.sweep(
                f"{product:.1e}-{ratio:g}",
                _task(ratio),
                adamw,
                {"learning_rate": [rate], "weight_decay": [decay]},
                seeds=SEEDS,
                steps=(BURN_IN + MEASURED) * every,
                eval_every=every,
                strategy="vmap",
            )
            angles = np.sqrt(result.values["train_angle2"][0, :, BURN_IN:].mean(axis=1))
            lengths = result.values["train_length"][0, :, BURN_IN:].mean(axis=1)
            rows.append({"product": product, "ratio": ratio, "angle": angles, "length": lengths})
    return {"rows": rows}


def _judge(data: Data) -> Judgement:
    table, angles, norms = [], [], []
    for row in data["rows"]:
        angle, norm = _predicted(row["product"], row["ratio"])
        angles.append(abs(np.mean(row["angle"]) / angle - 1))
        norms.append(abs(np.mean(row["length"]) / norm - 1))
        table.append(
            {
                "rate x decay": f"{row['product']:.1e}",
                "rate / decay": f"{row['ratio']:g}",
                "angle a step": f"{np.mean(row['angle']):.5f}",
                "predicted": f"{angle:.5f}",
                "norm": f"{np.mean(row['length']):.3f}",
                "predicted norm": f"{norm:.3f}",
            }
        )
    pairs = [
        np.log(np.asarray(a["angle"]) / np.asarray(b["angle"]))
        for a, b in zip(data["rows"][::2], data["rows"][1::2], strict=True)
    ]
    equal = all(equivalent(pair, math.log1p(EQUAL)) for pair in pairs)
    return Judgement(
        max(angles) < ANGLE and max(norms) < NORM and equal,
        f"the angle a step is within {max(angles):.2%} of prediction, the norm within "
        f"{max(norms):.2%}; equal products give {'equal' if equal else 'different'} angles",
        table,
    )


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(6.0, 3.6), layout="constrained")
        axes = fig.subplots()
        for ratio, marker in zip(RATIOS, "os", strict=True):
            rows = [row for row in data["rows"] if row["ratio"] == ratio]
            axes.loglog(
                [row["product"] for row in rows],
                [np.mean(row["angle"]) for row in rows],
                marker,
                markersize=9 if marker == "o" else 5,
                label=f"measured, rate / decay = {ratio:g}",
            )
        axes.loglog(
            PRODUCTS, [_predicted(p, 1.0)[0] for p in PRODUCTS], color="0.3", label="predicted"
        )
        axes.set_xlabel("learning rate x weight decay")
        axes.set_ylabel("rotation a step (radians)")
        axes.set_title("Rate and decay count as their product")
        axes.legend()
    return fig


CLAIM = Claim(
    name="rotation",
    title="Rate times decay sets how fast weights turn",
    claim="Under AdamW a weight vector comes to an equilibrium of norm √(ηC/2λ), in which it "
    "turns by √(2ηλ(1-b1)/(1+b1)) a step: only the product of rate and decay counts.",
    source="Kosson et al. 2023, arXiv:2305.17212",
    setting=f"Random gradients of {SIZE} coordinates, AdamW, {len(PRODUCTS)} products ηλ from "
    f"1e-4 to 3e-3 in {len(RATIOS)} ratios, {SEEDS} seeds, started at the predicted norm, "
    f"{BURN_IN}/(ηλ) updates dropped and {MEASURED}/(ηλ) measured",
    differs="Gradients without any signal, uniform instead of normal, from the first update on.",
    expected="The predicted angle and norm for every pair.",
    criterion=f"Means over seeds: angle within {ANGLE:.0%}, norm within {NORM:.0%} of "
    f"prediction; equal products give equal angles (TOST, {EQUAL:.0%}).",
    frozen="2026-11-25",
    sentences={
        "reproduced": "Halving the learning rate and doubling the decay leaves the speed at which "
        "weights turn as it was: tune the product.",
        "not reproduced": "The equilibrium differs from its prediction.",
        "undecided": "The equilibrium could not be decided.",
    },
    advice="With AdamW tune rate and rate x decay, rather than rate and decay: the two matter "
    "more independently. A schedule of the rate is a schedule of the rotation.",
    limits="Pure noise: in a network the gradients' signal adds to it.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    kind="exact",
)
