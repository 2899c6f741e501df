"""Rows as the Atlas has them, made up: the losses are known."""

import numpy as np
import pandas as pd

from lropt_jax.atlas.entries import ENTRIES

OPTIMIZERS = {"adamw": 0.0, "nadamw": 0.0, "sgdw": 0.1, "sgd": 0.3}  # how much worse each ends


def made_up(problems=("digits_linear", "yeast"), optimizers=OPTIMIZERS, seed=0, noise=0.02):
    """A frame: each optimizer is best at a rate of 0.01 and loses as its logarithm squared."""
    rng = np.random.default_rng(seed)
    rows = []
    for problem in problems:
        for name, worse in optimizers.items():
            rates = 10 ** rng.uniform(-4, 0, 64)
            ladder = 10 ** (np.arange(8) / 2 - 3.75)
            tuned = _losses(rng, rates, worse, noise)
            for phase, given, losses in (
                ("tune", rates, tuned),
                ("rates", ladder, _losses(rng, ladder, worse, noise)),
            ):
                start = 0 if phase == "tune" else 64
                rows += [
                    _row(problem, name, phase, start + i, 0, r, v)
                    for i, (r, v) in enumerate(zip(given, losses, strict=True))
                ]
            chosen = {"defaults": -1, "few": int(tuned[:8].argmin()), "all": int(tuned.argmin())}
            for trial in dict.fromkeys(chosen.values()):
                rate = 1e-3 if trial < 0 else rates[trial]
                budgets = " ".join(b for b, t in chosen.items() if t == trial)
                losses = _losses(rng, np.full(10, rate), worse, noise)
                rows += [
                    _row(problem, name, "retrain", trial, 1_000_000 + s, rate, v, budgets)
                    for s, v in enumerate(losses)
                ]
            losses = _losses(rng, np.full(20, rates[chosen["all"]]), worse, noise)
            rows += [
                _row(problem, name, "target", chosen["all"], 1_001_000 + s, rates[0], v)
                for s, v in enumerate(losses)
            ]
    return pd.DataFrame(rows)


def _losses(rng, rates, worse, noise):
    return 0.2 + worse + 0.1 * np.log10(rates / 0.01) ** 2 + noise * rng.normal(size=len(rates))


def _row(problem, name, phase, trial, seed, rate, loss, budgets=""):
    accuracy = problem == "digits_linear"
    again = phase in ("retrain", "target")
    way = np.linspace(0.9, loss, 10)
    return {
        "problem": problem, "optimizer": name, "phase": phase, "trial": trial, "seed": seed,
        "budgets": budgets, "schedule": ("constant", "linear", "cosine", "one_cycle")[trial % 4],
        **{n: v for n, v in ENTRIES[name].default.items() if n != "family"}, "learning_rate": rate,
        "status": "finished", "diverged_at": -1,
        "valid_loss": loss, "valid_accuracy": 1 - loss if accuracy else np.nan,
        "test_loss": loss if phase == "retrain" else np.nan,
        "test_accuracy": 1 - loss if accuracy and phase == "retrain" else np.nan,
        "train_loss": loss if again else np.nan,
        "curve": (1 - way if accuracy else way).astype(np.float32) if again else None,
        "every": 100.0 if again else np.nan, "updates": 1000,
        "start": 0.1 if accuracy else 0.9,
    }  # fmt: skip
