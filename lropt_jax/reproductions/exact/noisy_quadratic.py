"""The noisy quadratic model: what a batch buys, by formulas and by training."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.comparisons.inference import log_slope
from lropt_jax.optimizers import sgd
from lropt_jax.plotting.style import style
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.tasks.task import Task

SIZE = 1_000
CURVATURE = 1 / np.arange(1, SIZE + 1)  # and the variance of a single example's gradient
STEPS, SEEDS = 300, 64  # of the simulation
RATES, MOMENTA, BATCHES = (0.03, 0.3), (0.0, 0.9), (1, 8, 64)
TARGET = 0.02  # of the risk at the beginning
GROWTH = [2.0**k for k in range(17)]  # batches of the formulas; and no noise at all
LONGEST = 22  # doublings of the number of updates
SLOPE = (-1.05, -0.95)
BELOW_KNEE = 4  # times the updates that are needed without noise
SMALL, LARGE = 0.05, 3.0


def _task(batch: int) -> Task:
    spread = np.sqrt(CURVATURE / batch).astype(np.float32)

    def loss(x: Any, state: Any, batch: Any, key: Any) -> Any:
        noise = spread * jax.random.normal(key, (SIZE,))
        return 0.5 * jnp.sum(CURVATURE * x**2) + noise @ x, (state, {})

    nothing = {"x": np.zeros((1, 1), np.float32)}
    return Task(
        init=lambda key: (jnp.ones(SIZE), {}),
        loss=loss,
        evaluate=lambda x, state, b: {
            "risk": jnp.full(len(b["x"]), 0.5 * jnp.sum(CURVATURE * x**2))
        },
        train=nothing,
        valid=nothing,
        batch_size=1,
    )


def _moments(rate: Any, momentum: Any, batch: float) -> np.ndarray:
    """How an update takes (E x², E xv, E v², 1) on, for each curvature: (..., size, 4, 4).

    v ← b v + h x + noise, x ← x - η v, noise of variance h / B.
    """
    rate, b, h = np.broadcast_arrays(
        np.asarray(rate, float)[..., None], np.asarray(momentum, float)[..., None], CURVATURE
    )
    noise = h / batch
    x, one = 1 - rate * h, np.ones_like(h)
    zero = 0 * one
    rows = [
        [x**2, -2 * rate * b * x, (rate * b) ** 2, rate**2 * noise],
        [x * h, b * (x - rate * h), -rate * b**2, -rate * noise],
        [h**2, 2 * b * h, b**2, noise],
        [zero, zero, zero, one],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def _risk(state: np.ndarray) -> Any:
    return 0.5 * (state[..., 0] * CURVATURE).sum(-1)


def _begin(shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to([1.0, 0.0, 0.0, 1.0], (*shape, SIZE, 4))


def _steps_to_target(rate: np.ndarray, momentum: np.ndarray, batch: float) -> np.ndarray:
    """The updates until the risk is at the target, by powers of two of the matrices."""
    with np.errstate(all="ignore"):
        powers = [_moments(rate, momentum, batch)]
        for _ in range(LONGEST - 1):
            powers.append(powers[-1] @ powers[-1])
        state, taken = _begin(rate.shape), np.zeros(rate.shape)
        wanted = TARGET * 0.5 * CURVATURE.sum()
        for k in reversed(range(LONGEST)):
            tried = (powers[k] @ state[..., None])[..., 0]
            above = _risk(tried) > wanted
            state = np.where(above[..., None, None], tried, state)
            taken += np.where(above, 2.0**k, 0)
    reached = taken < 2.0**LONGEST - 1
    return np.where(reached, taken + 1, np.inf)


def _fewest(batch: float, momenta: np.ndarray) -> float:
    rate, momentum = np.meshgrid(np.geomspace(1e-4, 2.0, 60), momenta, indexing="ij")
    found = [
        _steps_to_target(rate[:, j], momentum[:, j] * np.ones(len(rate)), batch)
        for j in range(len(momenta))
    ]
    return float(np.min(found))


def _measure(bench: Bench) -> Data:
    simulated = []
    for batch in BATCHES:
        space = [
            {"learning_rate": rate * (1 - momentum), "momentum": momentum}
            for rate in RATES
            for momentum in MOMENTA
        ]
        result = bench.sweep(
            f"batch-{batch}", _task(batch), sgd, space, seeds=SEEDS, steps=STEPS, strategy="vmap"
        )
        for trial, risks in zip(space, result.last("valid_risk"), strict=True):
            matrix = _moments(trial["learning_rate"], trial["momentum"], batch)
            state = np.linalg.matrix_power(matrix, STEPS) @ _begin(())[..., None]
            simulated.append(
                {
                    "batch": batch,
                    **trial,
                    "formula": float(_risk(state[..., 0])),
                    "mean": float(risks.mean()),
                    "error": float(risks.std(ddof=1) / np.sqrt(SEEDS)),
                }
            )
    momenta = np.array([0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99])
    steps = {
        name: [_fewest(batch, tried) for batch in (*GROWTH, np.inf)]
        for name, tried in (("sgd", np.zeros(1)), ("momentum", momenta))
    }
    return {"simulated": simulated, "batches": GROWTH, "steps": steps}


def _judge(data: Data) -> Judgement:
    off = [abs(row["mean"] - row["formula"]) / row["error"] for row in data["simulated"]]
    plain, heavy = data["steps"]["sgd"], data["steps"]["momentum"]
    noisy = [n >= BELOW_KNEE * plain[-1] for n in plain[:-1]]
    slope = log_slope(*(np.compress(noisy, x) for x in (data["batches"], plain[:-1]))).value
    gain = [a / b for a, b in zip(plain, heavy, strict=True)]
    table = [
        {
            "batch": "all (no noise)" if batch is None else f"{batch:g}",
            "updates, SGD": f"{a:,.0f}",
            "updates, momentum": f"{b:,.0f}",
            "SGD / momentum": f"{a / b:.2f}",
        }
        for batch, a, b in zip([*data["batches"], None], plain, heavy, strict=True)
    ]
    return Judgement(
        max(off) < 3 and SLOPE[0] <= slope <= SLOPE[1] and gain[0] < 1 + SMALL and gain[-1] > LARGE,
        f"{len(off)} simulations at most {max(off):.1f} standard errors from the formula; slope "
        f"{slope:.3f} below the knee; momentum needs {1 / gain[0]:.0%} of SGD's updates at batch "
        f"1 and {1 / gain[-1]:.0%} without noise",
        table,
    )


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(6.0, 3.8), layout="constrained")
        axes = fig.subplots()
        for name, label in (("sgd", "SGD"), ("momentum", "SGD with momentum")):
            (line,) = axes.loglog(
                data["batches"], data["steps"][name][:-1], "o-", base=2, label=label
            )
            axes.axhline(data["steps"][name][-1], color=line.get_color(), linestyle=":")
        axes.set_yscale("log", base=10)
        axes.set_xlabel("batch size (dotted: no noise)")
        axes.set_ylabel(f"updates to {TARGET:.0%} of the risk")
        axes.set_title("A larger batch saves updates up to a knee; momentum moves it")
        axes.legend()
    return fig


CLAIM = Claim(
    name="noisy_quadratic",
    title="What a larger batch buys",
    claim="On a noisy quadratic, doubling a small batch halves the updates needed; beyond a knee "
    "it buys nothing. Momentum does not help below the knee, and moves it to larger batches.",
    source="Zhang et al. 2019, arXiv:1907.04164",
    setting=f"{SIZE:,} curvatures 1/i, noise h/B; {len(BATCHES) * len(RATES) * len(MOMENTA)} "
    f"simulations of {STEPS} updates on {SEEDS} seeds beside the formula; updates to {TARGET:.0%} "
    "of the risk at the best of 60 rates (and 7 momenta), by formula",
    differs="The paper also has preconditioned methods and weight averages.",
    expected="Simulations as the formula says; slope -1; momentum no better at batch 1 and much "
    "better without noise.",
    criterion="All simulations within 3 standard errors; slope of log updates on log batch -1 ± "
    f"0.05 over the batches that need at least {BELOW_KNEE} times the updates needed without "
    f"noise; tuned momentum saves less than {SMALL:.0%} at batch 1 and needs {LARGE:g} times "
    "fewer updates without noise.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "Where noise dominates, twice the batch is half the updates and momentum "
        "buys nothing; where curvature dominates, only momentum helps.",
        "not reproduced": "The model does not behave as its formulas say.",
        "undecided": "The model could not be decided.",
    },
    advice="Double the batch (and the rate) as long as it halves the updates; with large batches "
    "momentum is worth tuning, with small ones it is not.",
    limits="A quadratic whose noise has the shape of its curvature: networks only resemble it.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    kind="exact",
)
