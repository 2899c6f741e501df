"""A batch that grows in place of a learning rate that falls."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lropt_jax.comparisons.inference import equality, mean_within
from lropt_jax.optimizers import sgd
from lropt_jax.optimizers.accumulation import accumulate
from lropt_jax.plotting.style import style
from lropt_jax.problems import problem
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.reproductions.showing import percent, points
from lropt_jax.reproductions.tuned import tuned
from lropt_jax.schedules import piecewise_constant
from lropt_jax.sweeps.planning.space import log_grid

SEEDS, EPOCHS, BATCH, FACTOR = 40, 20, 16, 5
DROPS = (0.4, 0.7)  # of the training
MARGIN, SAVED = 0.003, 0.5
ARMS = ("falling rate", "growing batch")


def _drops(steps: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """After how many updates the rate falls, and the batch grows: at the same examples."""
    first, second = (round(d * steps) for d in DROPS)
    return (first, second), (first, first + round((second - first) / FACTOR))


def _updates(steps: int) -> dict[str, int]:
    """The updates that each takes in so many batches of the smallest size."""
    first, later = _drops(steps)[1]
    left = steps - first - FACTOR * (later - first)  # smallest batches
    return dict(zip(ARMS, (steps, later + left // FACTOR**2), strict=True))


def _falling(steps: int) -> Any:
    drops, _ = _drops(steps)

    def factory(learning_rate: Any) -> Any:
        values = tuple(learning_rate / FACTOR**i for i in range(3))
        return sgd(piecewise_constant(drops, values), momentum=0.9)

    return factory


def _growing(steps: int) -> Any:
    _, growths = _drops(steps)
    batches = piecewise_constant(growths, tuple(FACTOR**i for i in range(3)))

    def factory(learning_rate: Any) -> Any:
        return accumulate(sgd(learning_rate, momentum=0.9), batches)

    return factory


def _measure(bench: Bench) -> Data:
    task = dataclasses.replace(problem("mnist5k_mlp"), batch_size=BATCH)
    epochs = bench.scaled(EPOCHS, 2)
    steps = epochs * task.steps_per_epoch
    rates = log_grid(0.001, 0.1, bench.scaled(7, 3))
    falling = tuned(
        bench,
        "falling",
        task,
        {ARMS[0]: (_falling(steps), {"learning_rate": rates})},
        steps=steps,
        seeds=SEEDS,
        eval_every=steps // epochs,
    )[ARMS[0]]
    # The same rate: what the claim is about. And the same fresh seeds.
    growing = tuned(
        bench,
        "growing",
        task,
        {ARMS[1]: (_growing(steps), falling["chosen"])},
        steps=steps,
        seeds=SEEDS,
        tuning_seeds=1,
        eval_every=steps // epochs,
    )[ARMS[1]]
    arms = {ARMS[0]: falling, ARMS[1]: growing}
    return {
        "steps": steps,
        "epochs": epochs,
        "rate": falling["chosen"]["learning_rate"],
        "test": {name: arm["test_accuracy"] for name, arm in arms.items()},
        "valid": {
            name: np.mean(arm["curves"]["valid_accuracy"], axis=0) for name, arm in arms.items()
        },
    }


def _judge(data: Data) -> Judgement:
    difference = np.subtract(*(data["test"][arm] for arm in reversed(ARMS)))
    updates = _updates(data["steps"])
    share = updates[ARMS[1]] / updates[ARMS[0]]
    equal = equality(difference, MARGIN)
    holds = equal if share <= SAVED else False
    table = [
        {
            "arm": arm,
            "updates": f"{updates[arm]:,}",
            "test accuracy %": percent(data["test"][arm]),
        }
        for arm in ARMS
    ]
    return Judgement(
        holds,
        f"growing batch minus falling rate {points(mean_within(difference, 0.9))} points (90% "
        f"interval), in {share:.0%} of the updates",
        table,
    )


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(7.4, 3.4), layout="constrained")
        left, right = fig.subplots(1, 2, sharey=True)
        looked = len(data["valid"][ARMS[0]])  # after each epoch, the first time after one
        examples = np.arange(1, looked + 1) * data["steps"] / looked
        (first, second), (_, later) = _drops(data["steps"])
        taken = np.interp(
            examples,
            [0, first, second, data["steps"]],
            [0, first, later, _updates(data["steps"])[ARMS[1]]],
        )
        for arm in ARMS:
            line = 100 * np.asarray(data["valid"][arm])
            left.plot(data["epochs"] * examples / data["steps"], line, label=arm)
            right.plot(taken if arm == ARMS[1] else examples, line, label=arm)
        left.set_xlabel("epochs")
        left.set_ylabel("validation accuracy (%)")
        left.set_title("As many examples: the same curve")
        right.set_xlabel("updates")
        right.set_title("Fewer updates")
        left.legend()
    return fig


CLAIM = Claim(
    name="smith",
    title="A growing batch in place of a falling rate",
    claim="Multiplying the batch where a schedule would divide the learning rate gives the same "
    "test accuracy after the same number of epochs, in far fewer updates.",
    source="Smith et al. 2018, arXiv:1711.00489",
    setting=f"MNIST-5k, 784-100-10, SGD with momentum .9, {EPOCHS} epochs, two drops after "
    f"{DROPS[0]:.0%} and {DROPS[1]:.0%}: rate divided by {FACTOR}, or batch {BATCH} times "
    f"{FACTOR} (to {BATCH * FACTOR**2}); the rate tuned with the falling one, {SEEDS} fresh seeds",
    differs="The paper trains wide residual nets on CIFAR-10 and Inception on ImageNet.",
    expected="Equal accuracies and about 47% of the updates.",
    criterion=f"Equivalence within ±{100 * MARGIN:g} points (TOST, paired), and at most "
    f"{SAVED:.0%} of the updates. Not reproduced where the 95% interval lies outside the margin.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "Where you would divide the rate, you may multiply the batch instead: the "
        "same accuracy in fewer updates.",
        "not reproduced": "Growing the batch did not give the same accuracy here.",
        "undecided": "The two could not be shown to be equal, nor different.",
    },
    advice="With room on the device and a batch far below the training set, grow the batch: "
    "`batch_size_from` makes both schedules out of a decay.",
    limits="The largest batch is a ninth of the training set; updates are counted, not seconds. "
    "After the first drop neither arm gains more than a fifth of a point, so that there is little "
    "in which they could differ.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    seeds=SEEDS,
)
