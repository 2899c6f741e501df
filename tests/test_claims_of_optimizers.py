"""Claims judged on made-up data: all three verdicts, tables and figures, no training."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
from optax.contrib import MuonDimensionNumbers

from lropt_jax import problem, sgd
from lropt_jax.reproductions.catalogue import claim_named
from lropt_jax.reproductions.claim import Verdict
from lropt_jax.reproductions.running import _plain
from lropt_jax.reproductions.shaped import SHAPES, shaped
from lropt_jax.reproductions.statistical import mup as mup_claim
from lropt_jax.reproductions.statistical.muon import _matrices

SEEDS, STEPS = 20, 600
NETS = ("a", "b", "c", "d")
# What is gained, in points, and how much seeds differ: surely, surely not, and who knows.
GAIN = {True: (2.0, 0.3), False: (-2.0, 0.3), None: (0.4, 3.0)}


def _row(rng, gained=0.0, spread=0.3, final=1.0, faster=1.0, early=1.0, noise=0.01):
    """What `tuned` returns for one: 90% and what is gained; a loss that falls towards `final`."""
    steps = np.arange(1, 21) * STEPS // 20
    noise = np.exp(noise * rng.normal(size=(SEEDS, 1)))
    loss = (final + 2 * np.exp(-steps * faster / 100)) * noise
    loss[:, :4] *= early
    of_seeds = rng.normal(size=SEEDS)
    of_seeds = (of_seeds - of_seeds.mean()) / of_seeds.std()
    accuracy = 0.9 + (gained + spread * of_seeds) / 100
    curves = {"steps": steps, "train_loss": loss, "valid_loss": loss}
    curves["valid_accuracy"] = np.tile(accuracy[:, None], len(steps))
    return {"test_accuracy": accuracy, "chosen": {"learning_rate": 0.01}, "curves": curves}


def _rows(rng, gains, spread):
    return {name: _row(rng, gained, spread) for name, gained in gains.items()}


def does_adam_need_decay(rng, holds):
    gained, spread = GAIN[holds]
    names = dict.fromkeys(("staircase", "cosine", "one_cycle", "linear"), gained)
    return {net: _rows(rng, {"constant": 0.0, **names}, spread) for net in NETS}


def linear_to_zero(rng, holds):
    gained, spread = GAIN[holds]
    others = dict.fromkeys(("constant", "cosine", "one_cycle", "wsd", "inverse_sqrt"), 0.0)
    return {f"{net}, {i}": _rows(rng, {**others, "linear": gained}, spread)
            for net in NETS for i in (1, 2)}  # fmt: skip


def one_cycle(rng, holds):
    gained, spread = GAIN[holds]
    names = {"piecewise, T": 0.0, "piecewise, T/4": -1.0, "one-cycle, T/4": gained}
    return {net: _rows(rng, names, spread) for net in ("mnist1d_batchnorm", "a")}


def qhadam_early(rng, holds):
    spread = 3.0 if holds is None else 0.3
    early = 1.1 if holds is False else 0.9
    return {net: {"adamw": _row(rng, 0.0, spread), "qhadamw": _row(rng, 0.0, spread, early=early)}
            for net in NETS}  # fmt: skip


def lamb_large_batch(rng, holds):
    gained, spread = GAIN[holds]
    names = {"adamw": 0.0, "adamw, warm-up": 0.0, "momentum": 0.0, "momentum, warm-up": 0.0}
    return {net: _rows(rng, {"lamb": gained, "lars": -9.0, **names}, spread) for net in NETS[:2]}


def warmup_sensitivity(rng, holds):
    rates, seeds = np.geomspace(3e-4, 0.3, 13), 10
    off = np.log10(rates / 0.003)[:, None, None, None] ** 2
    gone = {True: 0.6, False: 1.2, None: 1.0}[holds]
    factor = np.array([1.0, gone])[None, :, None, None]
    noise = {True: 0.02, False: 0.02, None: 0.8}[holds]
    each = np.exp(noise * rng.normal(size=(1, 2, 1, seeds)))
    losses = 0.3 + off * factor * each * np.ones((13, 2, 2, seeds)) / 10
    losses[-1, 0, 0, 0] = np.nan  # a lane that diverged
    held = {"losses": losses, "initial": np.full(seeds, 2.3)}
    return {"rates": rates, "nets": dict.fromkeys(NETS, held)}


def tuning_budget(rng, holds):
    good = {True: 0.95, False: 0.5, None: 0.82}[holds]
    means = {
        "Adam, rate": good, "Adam, all": 0.6, "SGD, rate": 0.8 if holds is None else 0.7,
        "SGD, all": 0.6, "SGD, all, polynomial decay": 0.6,
    }  # fmt: skip
    spread = 0.08 if holds is None else 0.02
    return {
        net: {name: np.clip(mean + spread * rng.normal(size=128), 0, 1)
              for name, mean in means.items()}
        for net in ("a", "b", "c", "d", "e")
    }  # fmt: skip


def mup(rng, holds):
    widths, rates = np.array([32, 64, 128, 256, 512]), np.geomspace(2e-4, 0.2, 13)
    slopes = {True: (-1.0, 0.0), False: (-1.0, -1.0), None: (-1.0, 0.0)}[holds]
    noise = 3.0 if holds is None else 0.02
    losses = {}
    for kind, slope in zip(("standard", "muP"), slopes, strict=True):
        off = np.log(rates / 0.02)[None] - slope * np.log(widths / 32)[:, None]
        losses[kind] = 1 + off[:, :, None] ** 2 * np.ones(5) + noise * rng.random((5, 13, 5))
    return {"widths": widths, "rates": rates, "losses": losses}


def muon(rng, holds):
    faster = {True: 2.0, False: 1.0, None: 1.0}[holds]
    final = {True: 0.99, False: 1.2, None: 1.03}[holds]
    noise = 0.1 if holds is None else 0.01
    rows = {
        "AdamW": {},
        "Muon": {"final": final, "faster": faster},
        "AdamW at 1e-3": {"final": 1.5},
    }
    return {name: _row(rng, noise=noise, **given) for name, given in rows.items()}


CASES = (
    does_adam_need_decay, linear_to_zero, one_cycle, qhadam_early, lamb_large_batch,
    warmup_sensitivity, tuning_budget, mup, muon,
)  # fmt: skip


@pytest.mark.parametrize("holds", [True, False, None])
@pytest.mark.parametrize("made", CASES, ids=lambda made: made.__name__)
def test_made_up_data_get_the_verdict_that_is_in_them(made, holds, tmp_path):
    pytest.importorskip("matplotlib")
    data = json.loads(json.dumps(_plain(made(np.random.default_rng(7), holds))))
    verdict = Verdict.of(claim_named(made.__name__), data, False, 1.0, {})
    assert verdict.holds is holds, verdict.measured
    assert len({tuple(row) for row in verdict.table}) == 1
    verdict.plot().savefig(tmp_path / "figure.png")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("constant", [1.0, 1.0, 1.0]),
        ("linear", [1.0, 0.5, 0.01]),
        ("staircase", [1.0, 0.95**25, 0.95**49]),
        ("wsd", [0.0, 1.0, 0.05]),
        ("inverse_sqrt", [0.0, 0.1**0.5, (5 / 99) ** 0.5]),
        ("warm_cosine", [0.0, 0.5 * (1 + np.cos(np.pi * 40 / 90)), 0.5 * (1 - np.cos(np.pi / 90))]),
    ],
)
def test_a_schedule_by_its_number_is_that_schedule(name, wanted):
    entries = shaped(sgd, tuple(SHAPES), [1.0], steps=100)
    factory, space = entries[name]
    tx = factory(1.0, space["shape"])
    state, found = tx.init(1.0), []
    for _ in range(100):
        update, state = tx.update(1.0, state)
        found.append(-float(update))
    np.testing.assert_allclose([found[t] for t in (0, 50, 99)], wanted, rtol=1e-5, atol=1e-7)


def test_muon_is_for_the_matrices_inside_the_blocks():
    params, _ = problem("docs_transformer").init(jax.random.key(0))
    found = jax.tree.leaves_with_path(
        _matrices(params), is_leaf=lambda x: isinstance(x, MuonDimensionNumbers)
    )
    names = [jax.tree_util.keystr(path) for path, _ in found]
    assert len(names) == 2 * (4 + 2)  # of each layer: query, key, value, out; two dense ones
    assert not any("Embed" in name or "bias" in name or "Dense_4" in name for name in names)


def test_under_mup_hidden_and_last_rates_fall_with_the_width():
    params, _ = mup_claim._task(64, True).init(jax.random.key(0))
    assert not np.any(params["Dense_2"]["kernel"])
    tx = mup_claim._factory(64, True)(1.0)
    updates, _ = tx.update(jax.tree.map(np.ones_like, params), tx.init(params), params)
    moved = {name: float(-layer["kernel"].mean()) for name, layer in updates.items()}
    assert moved == pytest.approx({"Dense_0": 1.0, "Dense_1": 0.5, "Dense_2": 0.5}, rel=1e-5)
