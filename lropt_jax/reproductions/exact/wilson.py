"""Adaptive methods can fail where SGD is perfect: least squares with more weights than examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from lropt_jax import optimizers
from lropt_jax.plotting.style import style
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.schedules import exponential_decay
from lropt_jax.tasks.task import Task
from lropt_jax.training.fitting import fit

POSITIVE, NEGATIVE = 120, 80
STEPS = 20_000
TRAIN_LOSS = 1e-12

EXAMPLES = POSITIVE + NEGATIVE
# A rate, and the share of it that is left at the end.
METHODS: dict[str, tuple[Any, float, float]] = {
    "SGD": (optimizers.sgd, 0.002, 1.0),
    "heavy ball": (lambda rate: optimizers.sgd(rate, momentum=0.9), 0.0005, 1.0),
    "Nesterov": (lambda rate: optimizers.sgd(rate, momentum=0.9, nesterov=True), 0.0005, 1.0),
    "Adam": (lambda rate: optimizers.adam(rate, eps=1e-30), 0.003, 1e-9),
    "AdaGrad": (lambda rate: optimizers.adagrad(rate, eps=1e-30), 0.1, 1.0),
    "RMSProp": (lambda rate: optimizers.rmsprop(rate, eps=1e-30), 0.003, 1e-9),
    "AMSGrad": (lambda rate: optimizers.amsgrad(rate, eps=1e-30), 0.003, 1e-3),
    "AdaBelief": (lambda rate: optimizers.adabelief(rate, eps=1e-30), 0.003, 1e-9),
}
PLAIN = ("SGD", "heavy ball", "Nesterov")


def inputs(labels: np.ndarray) -> np.ndarray:
    """The paper's inputs: the label, two ones, and one or five coordinates of one's own."""
    x = np.zeros((len(labels), 3 + 5 * len(labels)))
    x[:, 0], x[:, 1:3] = labels, 1.0
    for i, label in enumerate(labels):
        x[i, 3 + 5 * i : 3 + 5 * i + (1 if label > 0 else 5)] = 1.0
    return x


def _task() -> Task:
    y = np.repeat([1.0, -1.0], [POSITIVE, NEGATIVE])
    x = inputs(y)

    def error(w: Any, batch: Any) -> Any:
        return (batch["x"] @ w - batch["y"]) ** 2

    return Task(
        init=lambda key: (np.zeros(x.shape[1]), {}),
        loss=lambda w, state, batch, key: (0.5 * error(w, batch).mean(), (state, {})),
        evaluate=lambda w, state, batch: {"loss": error(w, batch)},
        train={"x": x, "y": y},
        batch_size=EXAMPLES,
    )


def _measure(bench: Bench) -> Data:
    with bench.float64():
        task = _task()
        x, y = np.asarray(task.train["x"]), np.asarray(task.train["y"])
        new = np.zeros_like(x)  # whose own coordinates no training example has
        new[:, :3] = x[:, :3]
        least = np.linalg.lstsq(x, y, rcond=None)[0]
        found = {}
        for name, (method, rate, left) in METHODS.items():
            tx = method(exponential_decay(rate, left, STEPS))
            w = np.asarray(fit(task, tx, STEPS, progress=bench.progress).params)
            scores = new @ w
            found[name] = {
                "train_loss": float(np.mean((x @ w - y) ** 2)),
                "test_error": float(np.mean(np.sign(scores) != y)),
                "score_positive": float(scores[y > 0].mean()),
                "score_negative": float(scores[y < 0].mean()),
                "to_least_norm": float(np.linalg.norm(w - least) / np.linalg.norm(least)),
            }
    return found


def _judge(data: Data) -> Judgement:
    share = NEGATIVE / EXAMPLES
    holds = all(
        row["train_loss"] < TRAIN_LOSS
        and row["test_error"] == (0.0 if name in PLAIN else share)
        and (
            row["to_least_norm"] < 1e-5
            if name in PLAIN
            else abs(row["score_positive"] - 0.75) < 1e-3
            and abs(row["score_negative"] - 0.25) < 1e-3
        )
        for name, row in data.items()
    )
    table = [
        {
            "method": name,
            "train loss": f"{row['train_loss']:.1e}",
            "test error": f"{row['test_error']:.3f}",
            "score of new positives": f"{row['score_positive']:.3f}",
            "of new negatives": f"{row['score_negative']:.3f}",
        }
        for name, row in data.items()
    ]
    adaptive = [row["test_error"] for name, row in data.items() if name not in PLAIN]
    plain = [row["test_error"] for name, row in data.items() if name in PLAIN]
    return Judgement(
        holds,
        f"test error {min(adaptive):.3f} to {max(adaptive):.3f} for the five adaptive methods, "
        f"{min(plain):.3f} to {max(plain):.3f} for the other three",
        table,
    )


def _figure(data: Data) -> Any:
    with style() as figure:
        fig = figure(figsize=(6.4, 3.4), layout="constrained")
        axes = fig.subplots()
        names = list(data)
        places = np.arange(len(names))
        axes.axvline(0.0, color="0.3", linewidth=1)
        for key, label, marker in (
            ("score_positive", "new examples of class +1", "o"),
            ("score_negative", "new examples of class -1", "s"),
        ):
            axes.plot([data[n][key] for n in names], places, marker, label=label)
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.set_xlabel("score (the sign is the prediction)")
        axes.set_title("Adaptive methods call every new example positive")
        fig.legend(loc="outside lower center", ncols=2)
    return fig


CLAIM = Claim(
    name="wilson",
    title="Where adaptive methods fail and SGD is perfect",
    claim="There are problems that every method fits perfectly, on which adaptive methods are no "
    "better on new examples than guessing the majority while SGD makes no error.",
    source="Wilson et al. 2017, section 3, arXiv:1705.08292",
    setting=f"Least squares, {EXAMPLES} examples ({POSITIVE} of class +1), "
    f"{3 + 5 * EXAMPLES} weights from 0, full batch, {STEPS:,} updates, float64",
    differs="The labels are fixed at 60% instead of drawn; eps is 1e-30, as the lemma needs.",
    expected="Scores of 0.75 and 0.25 for the adaptive methods: every new example is +1. The "
    "solution of least norm, and no error, for the others.",
    criterion=f"Train loss below {TRAIN_LOSS:g} for all; test error exactly "
    f"{NEGATIVE / EXAMPLES} (scores .75 and .25 to .001) for Adam, AdaGrad, RMSProp, AMSGrad and "
    "AdaBelief; exactly 0, and the solution of least norm to 1e-5, for SGD, heavy ball and "
    "Nesterov.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "Fitting the training set perfectly says nothing about new examples: which "
        "of the perfect solutions one gets depends on the optimizer.",
        "not reproduced": "The construction does not separate the methods here.",
        "undecided": "The construction could not be decided.",
    },
    advice="Compare optimizers on validation data, at equal training loss.",
    limits="A construction: it shows that the gap is possible, not that it is common.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    kind="exact",
)
