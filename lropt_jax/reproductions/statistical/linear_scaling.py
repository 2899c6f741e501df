"""How the best learning rate grows with the batch: SGD with momentum, Adam, and warm-up."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lropt_jax.comparisons.inference import Interval, mean_within
from lropt_jax.comparisons.recipes import recipe, shape
from lropt_jax.comparisons.slopes import best_between, slope_of_best
from lropt_jax.plotting.style import colours, style
from lropt_jax.problems import problem
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.reproductions.showing import points

BATCHES, EPOCHS, SEEDS = (8, 16, 32, 64, 128, 256, 512, 1024), 20, 10
NAMES = {"momentum": (1e-4, 3.0), "adam": (1e-5, 0.3)}  # and their rates
RATES = 15
SLOPES = {"momentum": (0.8, 1.2), "adam": (0.3, 0.7)}
KNEE = 0.05  # by which the lowest loss may be higher below the knee


def _measure(bench: Bench) -> Data:
    batches, count = bench.scaled(BATCHES, BATCHES[2::2]), bench.scaled(RATES, 7)
    found: Data = {"batches": list(batches)}
    for name, ends in NAMES.items():
        rates = np.geomspace(*ends, count).tolist()
        found[name] = {"rates": rates}
        for schedule in ("cosine", "warmup_cosine"):
            # Warm-up is asked about at the largest batch alone.
            tried = batches if schedule == "cosine" else batches[-1:]
            for metric, values in _scores(bench, name, schedule, rates, tried).items():
                found[name][f"{schedule}_{metric}"] = values
    return found


def _scores(
    bench: Bench, name: str, schedule: str, rates: list[float], batches: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Metrics of the validation split, (batches, rates, seeds); NaN for what diverged."""
    found: dict[str, list[np.ndarray]] = {"accuracy": [], "loss": []}
    for batch in batches:
        task = dataclasses.replace(problem("mnist1d_mlp"), batch_size=batch)
        steps = bench.scaled(EPOCHS, 3) * task.steps_per_epoch
        factory, _ = recipe(name).entry(shape(schedule), steps)
        result = bench.sweep(
            f"{name}-{schedule}-{batch}",
            task,
            factory,
            {"learning_rate": rates},
            seeds=bench.scaled(SEEDS, 2),
            steps=steps,
        )
        for metric, values in found.items():
            last = result.last(f"valid_{metric}")
            values.append(np.where(result.status == "finished", last, np.nan))
    return {metric: np.stack(values) for metric, values in found.items()}


def _read(found: Data, batches: list[int]) -> tuple[int, Interval]:
    """How many batches lie below the knee, and the slope of the best rate over them."""
    losses = np.asarray(found["cosine_loss"], float)
    means = losses.mean(axis=2)
    low = np.where(np.isfinite(means), means, np.inf).min(axis=1)
    short = np.flatnonzero(low > (1 + KNEE) * low.min())
    below = int(short[short > low.argmin()].min(initial=len(low)))
    return below, slope_of_best(batches[:below], found["rates"], -losses[:below])


def _gain(found: Data) -> Interval:
    """What warm-up adds to accuracy at the largest batch, each at its own best rate."""
    pair = []
    for schedule in ("warmup_cosine", "cosine"):
        scores = np.asarray(found[f"{schedule}_accuracy"], float)[-1]
        means = scores.mean(axis=1)
        pair.append(scores[np.where(np.isfinite(means), means, -np.inf).argmax()])
    return mean_within(np.subtract(*pair))


def _judge(data: Data) -> Judgement:
    batches, answers, words = data["batches"], [], []
    table: list[dict[str, str]] = []
    for name, ends in SLOPES.items():
        below, slope = _read(data[name], batches)
        answers.append(slope.says(*ends) if below > 2 else None)
        said = f"slope {slope}" if below > 2 else "too few batches for a slope"
        words.append(f"{name}: {said} up to batch {batches[below - 1]}")
        losses = np.asarray(data[name]["cosine_loss"], float).mean(axis=2)
        accuracy = np.asarray(data[name]["cosine_accuracy"], float).mean(axis=2)
        for place, batch in enumerate(batches):
            if len(table) <= place:
                table.append({"batch": str(batch)})
            best = best_between(data[name]["rates"], -losses[place])
            table[place][f"{name}, best rate"] = f"{best:.2g}"
            table[place][f"{name}, accuracy %"] = f"{100 * np.nanmax(accuracy[place]):.1f}"
    gain = _gain(data["momentum"])
    warmed = "helps" if gain.low > 0 else "does not help at this size"
    holds = True if all(answers) else False if False in answers else None
    return Judgement(
        holds,
        f"{'; '.join(words)}; warm-up {warmed} at batch {batches[-1]} ({points(gain)} points)",
        table,
    )


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(5.6, 3.8), layout="constrained")
        axes = fig.subplots()
        batches = np.asarray(data["batches"], float)
        for name, colour in colours(NAMES).items():
            losses = np.asarray(data[name]["cosine_loss"], float).mean(axis=2)
            best = [best_between(data[name]["rates"], -row) for row in losses]
            below, slope = _read(data[name], data["batches"])
            label = f"{name}, slope {slope.value:.2f} below the knee"
            axes.loglog(batches, best, "--", color=colour, alpha=0.5)
            axes.loglog(batches[:below], best[:below], "o-", color=colour, label=label)
            expected = 1.0 if name == "momentum" else 0.5
            line = best[0] * (batches / batches[0]) ** expected
            axes.loglog(batches, line, ":", color=colour, label=f"slope {expected:g}")
        axes.set_xscale("log", base=2)
        axes.set_xlabel("batch")
        axes.set_ylabel("best learning rate")
        axes.set_title("The best rate, for equal epochs")
        axes.legend()
    return fig


CLAIM = Claim(
    name="linear_scaling",
    title="The best rate is proportional to the batch",
    claim="When the batch is multiplied by k, multiply the learning rate by k (with warm-up); for "
    "Adam by the root of k.",
    source="Goyal et al. 2017, arXiv:1706.02677; for Adam Malladi et al. 2022, arXiv:2205.10287",
    setting=f"MNIST-1D, 40-100-100-10, batches {BATCHES[0]} to {BATCHES[-1]:,}, {EPOCHS} epochs "
    f"each, cosine, {RATES} rates x {SEEDS} seeds; the best rate by validation loss",
    differs="The paper trains residual nets on ImageNet with stepwise decay.",
    expected="Slopes 1 and .5 as long as the large batch costs no loss.",
    criterion="Slope of the log of the best rate on the log of the batch, 95% interval over "
    "seeds, within 1 ± .2 for momentum and within .5 ± .2 for Adam, over the batches below the "
    f"knee: up to the first whose lowest loss is {KNEE:.0%} above the lowest of all. "
    "Not reproduced where one lies outside. Warm-up's gain at the largest batch is reported.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "Twice the batch wants twice the rate under momentum, and 1.4 times under "
        "Adam, until batches are so large that accuracy suffers.",
        "not reproduced": "The best rate does not grow with the batch as the rule has it, for one "
        "of the two at least.",
        "undecided": "The slopes are too uncertain to tell.",
    },
    advice="Use the rule to move a tuned rate to another batch, then try a factor of two on both "
    "sides.",
    limits="Equal epochs: large batches have few updates. The net is small and the knee early.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    seeds=SEEDS,
)
