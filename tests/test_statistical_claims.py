"""The judges and figures of statistical claims, on data made up for each of the three verdicts."""

from __future__ import annotations

import numpy as np
import pytest

from lropt_jax import reproduce
from lropt_jax.reproductions.catalogue import claim_named
from lropt_jax.reproductions.claim import Verdict
from lropt_jax.reproductions.pages import write_pages
from lropt_jax.reproductions.running import _plain
from lropt_jax.reproductions.statistical import (
    adam_then_sgd,
    choi,
    decoupled_decay,
    edge_of_stability,
    fixed_rates,
    lecture_tie,
    smith,
)

RANDOM = np.random.default_rng(0)


def _seeds(mean, spread=0.005, count=20):
    """Values with exactly this mean and this spread, each time others."""
    noise = RANDOM.normal(size=count)
    return mean + spread * (noise - noise.mean()) / noise.std()


def _gap(cosine, constant, spread=0.005):
    def pair(gap):
        return {
            "momentum": {"test": _seeds(0.7 + gap, spread), "train": np.ones(20)},
            "adam": {"test": _seeds(0.7, spread), "train": np.ones(20)},
        }

    return {"mnist1d": {"cosine": pair(cosine), "constant": pair(constant)}}


def _swats(momentum, switched, spread=0.005):
    accuracies = zip(adam_then_sgd.NAMES, (momentum, 0.7, switched), strict=True)
    count = len(adam_then_sgd.TOLERANCES)
    return {
        "steps": 100,
        "runs": {name: {"test_accuracy": _seeds(mean, spread)} for name, mean in accuracies},
        "tolerances": list(adam_then_sgd.TOLERANCES),
        "switches": [[0] * 20] + [[50] * 20] * (count - 1),
        "accuracies": [_seeds(0.7)] * count,
    }


def _adamw(slopes, spread=0.0):
    rates, decays = np.geomspace(1e-3, 1e-1, 5), np.geomspace(1e-4, 1.0, 9)
    found = {}
    for name, slope in zip(decoupled_decay._variants(1), slopes, strict=True):
        off = np.log(decays)[None, :] - np.log(1e-2) - slope * np.log(rates / 1e-2)[:, None]
        scores = 0.7 - 1e-3 * off[..., None] ** 2 + spread * RANDOM.normal(size=(5, 9, 8))
        found[name] = {"learning_rate": rates, "decay": decays, "scores": scores}
    return found


def _smith(difference, spread=0.004):
    return {
        "steps": 2000,
        "epochs": 10,
        "rate": 0.1,
        "test": {
            smith.ARMS[0]: _seeds(0.95, spread, 40),
            smith.ARMS[1]: _seeds(0.95 + difference, spread, 40),
        },
        "valid": {arm: np.linspace(0.5, 0.95, 11) for arm in smith.ARMS},
    }


def _scaling(momentum, adam, spread=0.0):
    batches, rates = np.array([8, 32, 128, 512]), np.geomspace(1e-4, 10, 21)
    found = {"batches": batches.tolist()}
    for name, slope in (("momentum", momentum), ("adam", adam)):
        off = np.log(rates)[None, :] - np.log(1e-2) - slope * np.log(batches / 8)[:, None]
        losses = 1 + 0.1 * off[..., None] ** 2 + spread * RANDOM.normal(size=(4, 21, 8))
        accuracy = 0.7 - 0.001 * off[..., None] ** 2 + 0 * losses
        warm = accuracy[-1:] + 0.001 * RANDOM.normal(size=8)
        found[name] = {"rates": rates, "cosine_loss": losses, "cosine_accuracy": accuracy}
        found[name]["warmup_cosine_accuracy"] = warm
    return found


def _lecture(difference, spread=0.005):
    runs = {name: {"test": _seeds(0.9, spread), "rate": 0.1} for name in lecture_tie.LECTURE}
    runs["adam"]["test"] = _seeds(0.9 - difference, spread)
    large = {name: runs[name] for name in (lecture_tie.SGD, "adam")}
    return {"64": runs, "1024": large}


def _rates(accuracies, ranged, spread=0.002):
    def run(rate, mean):
        curves = np.linspace(0.1, 1, 6)[None] * _seeds(mean, spread, 10)[:, None]
        losses = 1 - curves
        return {
            "rate": rate,
            "epochs": np.arange(6),
            "loss": losses,
            "new_loss": losses,
            "new_accuracy": curves,
        }

    runs = {f"{r:g}": run(r, a) for r, a in zip(fixed_rates.TEXT, accuracies, strict=True)}
    runs[fixed_rates.RANGE] = run(0.002, ranged)
    return {"runs": runs}


def _choi(full, few, spread=0.003):
    found = {}
    for chain, trials, steps in ((choi.CHAIN, "many", full), (choi.FIXED, "few", few)):
        for method, mean in zip(chain, np.cumsum([0.7, *steps]), strict=True):
            found[f"{method}, {trials}"] = {"chosen": {}, "test": _seeds(mean, spread, 40)}
    return {"digits_linear": found}


def _edge(ends, spread=0.01):
    found = {}
    for (name, (_, _, rates, _)), end in zip(edge_of_stability.METHODS.items(), ends, strict=True):
        low = name == edge_of_stability.LOW
        aims = [end] * len(rates) + [0.1] * low
        found[name] = {
            "rates": [*rates, edge_of_stability.LOW_RATE] if low else list(rates),
            "steps": np.arange(1, 10),
            "ratio": np.stack([np.tile(_seeds(a, spread, 10)[:, None], 9) for a in aims]),
        }
    return found


ORDER = (0.95, 0.9, 0.8, 0.15, 0.1)
MADE_UP = {
    "generalization_gap": (_gap(0.03, 0.0), _gap(0.0, 0.0), _gap(0.01, 0.0, spread=0.05)),
    "swats": (_swats(0.73, 0.725), _swats(0.73, 0.70), _swats(0.705, 0.70, spread=0.05)),
    "adamw": (_adamw([0, -1, 1, 0, -1]), _adamw([1, -1, 1, 0, -1]), _adamw([0] * 5, 0.3)),
    "smith": (_smith(0.0), _smith(-0.01), _smith(0.002, 0.02)),
    "linear_scaling": (_scaling(1, 0.5), _scaling(0.5, 0.5), _scaling(1, 0.5, spread=0.3)),
    "lecture_tie": (_lecture(0.001), _lecture(0.03), _lecture(0.005, 0.05)),
    "fixed_rates": (
        _rates(ORDER, 0.95),
        _rates((0.9, 0.95, 0.8, 0.15, 0.1), 0.9),
        _rates(ORDER, 0.95, spread=0.03),
    ),
    "edge_of_stability": (_edge([1, 1, 1]), _edge([1, 0.5, 1]), _edge([1, 1, 1], spread=0.5)),
    "choi": (
        _choi([0.01, 0.01, 0.0], [0.01, -0.05, 0.01]),
        _choi([0.01, -0.05, 0.0], [0.01, -0.05, 0.01]),
        _choi([0.01, -0.003, 0.0], [0.01, -0.05, 0.01], spread=0.01),
    ),
}
WORDS = ("reproduced", "not reproduced", "undecided")


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", MADE_UP)
def test_each_verdict_has_data_that_give_it(name, word, tmp_path):
    data = _plain(MADE_UP[name][WORDS.index(word)])
    verdict = Verdict.of(claim_named(name), data, False, 1.0, {"x": "1"})
    assert verdict.verdict == word, verdict.measured
    assert "nan" not in verdict.measured
    write_pages([verdict], tmp_path)
    page = (tmp_path / name / "index.md").read_text()
    assert verdict.sentence in page
    assert (tmp_path / name / "figure.svg").stat().st_size > 3000


def test_without_a_fit_of_the_training_set_there_is_no_verdict_on_the_gap():
    data = _gap(0.03, 0.0)
    data["mnist1d"]["cosine"]["adam"]["train"] = np.full(20, 0.9)
    assert claim_named("generalization_gap").judge(data).holds is None


def test_early_stopping_keeps_the_best_before_it_stops():
    assert fixed_rates.stopped(np.array([3.0, 2.0, 2.5, 2.6, 1.0]), patience=2) == 1
    assert fixed_rates.stopped(np.array([3.0, 2.0, 2.5, 1.5, 1.6]), patience=2) == 3


def test_the_batch_grows_where_the_rate_falls():
    steps = 4360
    (first, second), (same, later) = smith._drops(steps)
    assert first == same == 0.4 * steps
    assert first + smith.FACTOR * (later - first) == pytest.approx(second, abs=smith.FACTOR)
    updates = smith._updates(steps)
    assert updates[smith.ARMS[1]] / steps == pytest.approx(0.4 + 0.3 / 5 + 0.3 / 25, abs=0.002)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swats", "smith"])
def test_a_quick_run_runs_through_and_decides_nothing(name, tmp_path):
    verdict = reproduce(name, quick=True, output=tmp_path, progress=False)
    assert verdict.holds is None
    again = reproduce(name, quick=True, output=tmp_path, progress=False)
    assert again.row() == verdict.row()
    assert verdict.plot() is not None
