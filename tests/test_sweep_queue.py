"""Lanes that wait take the places of those that have diverged, and change no bit by it."""

from __future__ import annotations

import os

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lropt_jax import adam, pbt, reduce_on_plateau, sgd, successive_halving, sweep
from lropt_jax.sweeps.running.runners import InProcess
from lropt_jax.training import visits as itineraries
from lropt_jax.training.population import Population
from tests.sweep_problems import (
    DIVERGES,
    QUIET,
    Stopped,
    assert_same,
    fragile,
    run,
    stop_after,
    task,
)

# Every second lane diverges at once, one later on: in a program of four lanes the others are soon
# at different steps.
RATES = [0.01, DIVERGES, 0.02, DIVERGES, DIVERGES, 0.03, 100.0, 0.05, DIVERGES, 0.1, 0.2, 0.3]
CALM = [i for i, rate in enumerate(RATES) if rate < 1]
SPACE = {"learning_rate": RATES}
UNEVEN = {"steps": 23, "eval_every": 5}  # the last interval is shorter


def in_chunks(monkeypatch, *arguments, **options):
    """The same sweep with a queue for each chunk, where no lane waits."""
    with monkeypatch.context() as patch:
        patch.setattr(InProcess, "chunks", 1)
        return run(*arguments, **options)


def asked_updates(monkeypatch):
    """The updates that each segment asks of its lanes, from here on."""
    real, asked = Population.run, []

    def train(self, lanes, feed, updates):
        asked.append(np.broadcast_to(updates, lanes.step.shape).tolist())
        return real(self, lanes, feed, updates)

    monkeypatch.setattr(Population, "run", train)
    return asked


@pytest.mark.parametrize("strategy", ["vmap", "map", "map:2", "shared"])
@pytest.mark.parametrize("devices", [1, 2])
def test_the_lanes_come_to_what_they_come_to_alone(monkeypatch, strategy, devices):
    options = {**UNEVEN, "strategy": strategy, "devices": devices}
    refilled = run(SPACE, fragile, **options)
    assert_same(refilled, in_chunks(monkeypatch, SPACE, fragile, **options))
    calm = run({"learning_rate": [RATES[i] for i in CALM]}, fragile, **options)
    assert_same(refilled, calm, CALM, range(len(CALM)))
    assert (refilled.status[:, 0] == "finished").nonzero()[0].tolist() == CALM


@pytest.mark.parametrize("eval_every", [5, None])
def test_a_free_place_is_filled_at_the_end_of_the_segment(monkeypatch, eval_every):
    monkeypatch.setattr(itineraries, "LONGEST_SEGMENT", 5)
    rates = [DIVERGES, 0.1, DIVERGES, 0.1, 0.2, 0.3]
    asked = asked_updates(monkeypatch)
    run({"learning_rate": rates}, fragile, devices=1, eval_every=eval_every)
    # Two diverge in the first segment, and the two that wait take their places.
    assert asked == [[5] * 4, *[[5] * 4] * 3, [5, 0, 5, 0]]


def test_what_is_waiting_takes_no_more_time_than_it_must(monkeypatch):
    asked = asked_updates(monkeypatch)
    run({"learning_rate": [DIVERGES, 0.1] * 16}, fragile)
    with_queue = len(asked)
    in_chunks(monkeypatch, {"learning_rate": [DIVERGES, 0.1] * 16}, fragile)
    assert len(asked) - with_queue == 8 * 4
    # Sixteen lanes of four segments and sixteen of one, in four places; each place has a lane
    # until none waits.
    assert 20 <= with_queue <= 24


@pytest.mark.parametrize("strategy", ["vmap", "map", "shared"])
@pytest.mark.parametrize("longest", [2, 3, 4])
def test_segments_that_end_between_evaluations(monkeypatch, longest, strategy):
    refilled = run(SPACE, fragile, strategy=strategy, **UNEVEN)
    monkeypatch.setattr(itineraries, "LONGEST_SEGMENT", longest)
    assert_same(refilled, run(SPACE, fragile, strategy=strategy, **UNEVEN))


def test_schedules_observe_at_the_evaluations_of_their_own_lane(monkeypatch):
    def optimizer(learning_rate):
        return sgd(reduce_on_plateau(learning_rate, factor=0.5, patience=0), l2=1.0)

    options = {"steps": 63, "eval_every": 5}
    refilled = run(SPACE, optimizer, **options)
    assert_same(refilled, in_chunks(monkeypatch, SPACE, optimizer, **options))
    calm = run({"learning_rate": [RATES[i] for i in CALM]}, optimizer, **options)
    assert_same(refilled, calm, CALM, range(len(CALM)))


@pytest.mark.parametrize("prune", [None, successive_halving(eta=2, min_steps=5)])
def test_where_all_diverge_the_metrics_are_there_and_nan(prune):
    calm = run({"learning_rate": [0.1]}, fragile)
    result = run({"learning_rate": [DIVERGES] * 6}, fragile, prune=prune)
    assert list(result.values) == list(calm.values)
    assert all(np.isnan(values).all() for values in result.values.values())
    assert (result.diverged_at > 0).all()


def test_whole_splits_are_evaluated_at_each_lanes_end():
    def swept(rates):
        return sweep(
            task(),
            fragile,
            {"learning_rate": rates},
            **{**QUIET, **UNEVEN},
            strategy="vmap",
            final_splits=("train", "test"),
        )

    refilled, calm = swept(RATES), swept([RATES[i] for i in CALM])
    for name, values in calm.final.items():
        assert np.isfinite(values).all()
        assert_array_equal(refilled.final[name][CALM], values)
        assert np.isnan(np.delete(refilled.final[name], CALM, axis=0)).all()


RULES = [successive_halving(eta=2, min_steps=5), pbt(every=5)]


@pytest.mark.parametrize("rule", RULES, ids=["halving", "pbt"])
def test_rules_decide_alike(monkeypatch, rule):
    refilled = run(SPACE, fragile, seeds=2, prune=rule)
    plain = in_chunks(monkeypatch, SPACE, fragile, seeds=2, prune=rule)
    assert_same(refilled, plain)
    assert_array_equal(refilled.status, plain.status)
    assert refilled.lineage == plain.lineage


@pytest.mark.parametrize("rule", [None, *RULES], ids=["all", "halving", "pbt"])
def test_killed_at_any_save_it_goes_on_bit_identically(tmp_path, monkeypatch, rule):
    monkeypatch.setattr(itineraries, "LONGEST_SEGMENT", 3)
    whole = run(SPACE, fragile, prune=rule)
    kills = 0
    while True:  # again and again, a save further each time, over a file that a power cut spoilt
        with monkeypatch.context() as patch:
            stop_after(patch, 2)
            try:
                resumed = run(SPACE, fragile, prune=rule, directory=tmp_path)
                break
            except Stopped:
                kills += 1
        newest = max(tmp_path.rglob("*.npz"), key=lambda p: p.stat().st_mtime_ns)
        os.truncate(newest, newest.stat().st_size // 2)
    assert kills > 5
    assert_same(whole, resumed)
    assert_array_equal(whole.status, resumed.status)


def test_only_new_lanes_are_written_for_the_next_rung(tmp_path):
    run({"learning_rate": [0.01, 0.1] * 6}, adam, prune=RULES[0], directory=tmp_path)
    pieces = sorted(p.name for p in tmp_path.rglob("*rung0*.npz"))
    kept = [n.partition("piece0")[2] for n in pieces if "kept" in n]
    assert kept == [f".kept{k}.npz" for k in range(3)]
    sizes = [p.stat().st_size for p in tmp_path.rglob("*rung0*kept*.npz")]
    assert max(sizes) == min(sizes)


class Recorder:
    """A progress line that remembers what it was told."""

    def __init__(self):
        self.advanced, self.skipped, self.notes = 0, 0, []

    def advance(self, model_steps):
        self.advanced += model_steps

    def skip(self, model_steps):
        self.skipped += model_steps

    def describe(self, what):
        pass

    def note(self, what):
        self.notes.append(what)


def test_the_live_line_knows_of_divergences_as_they_happen_and_counts_every_step(tmp_path):
    bar = Recorder()
    result = run(SPACE, fragile, progress=bar, devices=1)
    diverged = int((result.diverged_at >= 0).sum())
    assert bar.notes[0] == "10 lanes alive, 2 diverged"
    assert bar.notes[-1] == f"{12 - diverged} lanes alive, {diverged} diverged"
    assert bar.advanced + bar.skipped == 12 * 20
    assert bar.skipped >= 15 * (diverged - 1)


def test_what_a_resumed_sweep_had_done_is_not_counted_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Stopped):
            run(SPACE, fragile, directory=tmp_path)
    for _ in range(2):
        bar = Recorder()
        run(SPACE, fragile, directory=tmp_path, progress=bar)
        assert bar.advanced + bar.skipped == 12 * 20
    assert bar.advanced == 0
