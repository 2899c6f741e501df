"""Does the best weight decay move with the learning rate? Decoupled in two ways, and coupled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lropt_jax.comparisons.inference import Interval
from lropt_jax.comparisons.slopes import best_between, slope_of_best
from lropt_jax.optimizers import adam, adamw, sgd, sgdw
from lropt_jax.plotting.style import MAPS, colours, style
from lropt_jax.problems import problem
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.schedules import cosine_decay

SEEDS, STEPS = 10, 1200
RATES, DECAYS = 7, 9
FLAT, NEAR = 0.25, 0.1
SIGN, GRADIENT = (1e-3, 1e-1), (2e-2, 0.6)  # rates
FOUR = (1e-5, 1e-1)  # decays


def _variants(steps: int) -> dict[str, tuple[Callable[..., Any], Any, Any, str]]:
    """A factory of rate and decay, where both lie, and what is said about the slope."""

    def fixed(make: Any, **more: Any) -> Callable[..., Any]:
        """Decay is not multiplied by the rate, but follows its schedule, as in the paper."""

        def factory(learning_rate: Any, decay: Any) -> Any:
            return make(
                cosine_decay(learning_rate, steps),
                weight_decay=cosine_decay(decay, steps),
                independent_decay=True,
                **more,
            )

        return factory

    def by_rate(make: Any, argument: str, **more: Any) -> Callable[..., Any]:
        def factory(learning_rate: Any, decay: Any) -> Any:
            return make(cosine_decay(learning_rate, steps), **{argument: decay}, **more)

        return factory

    return {
        "AdamW, decay alone": (fixed(adamw), SIGN, FOUR, "flat"),
        "AdamW, rate x decay": (by_rate(adamw, "weight_decay"), SIGN, (1e-3, 10.0), "minus one"),
        "Adam + L2": (by_rate(adam, "l2"), SIGN, FOUR, "not flat"),
        "SGDW, decay alone": (fixed(sgdw, momentum=0.9), GRADIENT, FOUR, "flat"),
        "SGD + L2": (by_rate(sgd, "l2", momentum=0.9), GRADIENT, FOUR, "not flat"),
    }


def _measure(bench: Bench) -> Data:
    task = problem("mnist1d_mlp")
    steps = bench.scaled(STEPS, 200)
    counts = bench.scaled((RATES, DECAYS), (4, 4))
    found: Data = {}
    for number, (name, (factory, rates, decays, _)) in enumerate(_variants(steps).items()):
        grid = {
            "learning_rate": np.geomspace(rates[0], rates[1], counts[0]).tolist(),
            "decay": np.geomspace(decays[0], decays[1], counts[1]).tolist(),
        }
        result = bench.sweep(
            f"variant-{number}", task, factory, grid, seeds=bench.scaled(SEEDS, 2), steps=steps
        )
        # The top of the accuracy is flat; the loss says what decay does.
        losses = np.where(result.status == "finished", result.last("valid_loss"), np.nan)
        found[name] = {**grid, "scores": -np.log(losses).reshape(*counts, -1)}
    return found


def _read(found: Data) -> tuple[np.ndarray, list[float], Interval]:
    """The rates that are near the best, the best decay at each, and its slope."""
    scores = np.asarray(found["scores"], float)
    means = scores.mean(axis=2)
    top = np.where(np.isfinite(means), means, -np.inf).max(axis=1)
    near = top >= min(top.max() - NEAR, np.sort(top)[-3])
    rates = np.asarray(found["learning_rate"])[near]
    best = [best_between(found["decay"], s) for s in means[near]]
    slope = slope_of_best(rates, found["decay"], scores[near])
    return rates, best, slope


def _says(expected: str, slope: Interval) -> bool | None:
    if expected == "flat":
        return slope.says(-FLAT, FLAT)
    if expected == "minus one":
        return slope.says(-1 - FLAT, -1 + FLAT)
    if slope.outside(0, 0):
        return True
    return False if slope.within(-FLAT, FLAT) else None


def _judge(data: Data) -> Judgement:
    table, answers = [], []
    for name, (_, _, _, expected) in _variants(1).items():
        rates, best, slope = _read(data[name])
        answers.append(_says(expected, slope))
        table.append(
            {
                "variant": name,
                "rates near the best": f"{rates[0]:.2g} to {rates[-1]:.2g}",
                "best decay there": f"{best[0]:.2g} to {best[-1]:.2g}",
                "slope": str(slope),
                "expected": expected,
                "so": {True: "yes", False: "no", None: "?"}[answers[-1]],
            }
        )
    holds = True if all(answers) else False if False in answers else None
    slopes = "; ".join(f"{row['variant']} {row['slope']}" for row in table)
    return Judgement(holds, f"slope of log best decay on log rate: {slopes}", table)


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(3.0 * len(data), 3.2), layout="constrained")
        colour = colours(data)
        shown = fig.subplots(1, len(data))
        for axes, (name, found) in zip(shown, data.items(), strict=True):
            means = np.exp(-np.asarray(found["scores"], float).mean(axis=2))
            drawn = axes.pcolormesh(
                found["learning_rate"],
                found["decay"],
                means.T,
                vmax=1.6 * np.nanmin(means),
                cmap=MAPS["min"],
                shading="nearest",
                rasterized=True,
            )
            rates, best, slope = _read(found)
            axes.plot(rates, best, "o-", color="white", markeredgecolor=colour[name])
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.minorticks_off()  # their labels would run into each other
            axes.grid(visible=False)
            axes.set_title(f"{name}\nslope {slope.value:.2f}")
            axes.set_xlabel("learning rate")
            fig.colorbar(drawn, ax=axes, label="validation loss")
        shown[0].set_ylabel("weight decay")
    return fig


CLAIM = Claim(
    name="adamw",
    title="Decoupled decay lets rate and decay be tuned apart",
    claim="With L2 the best decay depends on the learning rate; decoupled from the gradient, and "
    "from the rate, it does not, so that the two can be tuned one after the other.",
    source="Loshchilov and Hutter 2019, arXiv:1711.05101",
    setting=f"MNIST-1D, 40-100-100-10, batch 64, {STEPS} updates, cosine, {RATES} rates x "
    f"{DECAYS} decays x {SEEDS} seeds for five variants, on validation loss",
    differs="The paper trains residual nets on CIFAR-10 and looks at the test error. "
    "Decay alone is the paper's form (decay times the schedule's multiplier); rate x decay is "
    "PyTorch's and Optax's AdamW.",
    expected="No slope where decay is not multiplied by the rate, about -1 where it is, and one "
    "that is not 0 for L2.",
    criterion=f"Over the rates whose lowest loss is within {NEAR:.0%} of the lowest of all, "
    "and the three best, "
    "slope of the log of the best decay on the log of the rate, 95% interval over seeds: within "
    f"±{FLAT:g} where decay stands alone (AdamW, SGDW), within -1 ± {FLAT:g} for rate x decay, "
    "without 0 for L2. Not reproduced where one lies outside (L2: within "
    f"±{FLAT:g}).",
    frozen="2026-11-25",
    sentences={
        "reproduced": "Where decay is multiplied by the rate, as in PyTorch's and Optax's AdamW, a "
        "higher rate wants a smaller decay; where it is not, the best decay stays where it is.",
        "not reproduced": "The best decay does not follow the rate as the account has it: flat "
        "where it stands alone, inversely where it is multiplied by the rate.",
        "undecided": "The slopes are too uncertain to tell in one variant at least.",
    },
    advice="After changing the rate by a factor of three, look at the decay again; whether your "
    "library multiplies it by the rate decides in which direction to look.",
    limits="A small net and a short training, in which rate and decay hardly come to "
    "their equilibrium.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    seeds=SEEDS,
)
