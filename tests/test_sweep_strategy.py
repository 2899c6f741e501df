"""How lanes lie: guessed from their bytes, tried where that pays, remembered."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from lropt_jax import adam, classification_task, sweep
from lropt_jax.sweeps.planning.plan import planned
from lropt_jax.sweeps.running import guessing, strategy, timing
from lropt_jax.tasks.models import mlp
from lropt_jax.training import remembered
from lropt_jax.training.layout import Layout
from lropt_jax.training.population import Population
from lropt_jax.training.visits import itinerary
from tests.compilations import counted
from tests.problems import regression

DEVICES = tuple(jax.local_devices()[:2])
RATES = {"learning_rate": [float(r) for r in np.geomspace(1e-3, 1e-1, 8)]}


def _guess(layers, batch, local, one_seed, monkeypatch):
    monkeypatch.setattr(guessing, "_own_cache", lambda: 2.0**21)
    x = np.zeros((100, layers[0]), np.float32)
    data = {"train": {"x": x, "y": np.zeros(100, np.int32)}, "valid": None, "test": None}
    task = classification_task(mlp(layers[1:]), data, batch)
    population = Population(task, adam, {"learning_rate": 0.1}, Layout("vmap", DEVICES[:1]))
    shapes = population.shapes({"learning_rate": np.zeros(1, np.float32)}, 1, "threefry2x32")
    lane = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape[1:], s.dtype), shapes)
    return guessing.guess(task, lane, local, one_seed, DEVICES)


def test_small_lanes_train_at_once_and_large_ones_as_fit_the_cache(monkeypatch):
    assert _guess((16, 8, 4), 16, 16, False, monkeypatch) == "vmap"
    assert _guess((16, 8, 4), 16, 16, True, monkeypatch) == "shared"
    assert _guess((64, 32, 10), 32, 16, True, monkeypatch) in ("map:4", "map:8")
    assert _guess((784, 100, 10), 64, 16, True, monkeypatch) in ("map", "map:2")
    assert _guess((784, 800, 10), 64, 16, True, monkeypatch) == "map"
    assert _guess((784, 800, 10), 64, 1, True, monkeypatch) == "vmap"


def _timed(monkeypatch, seconds):
    """Strategies take these seconds, and compile in one."""

    class Fake:
        compiling = 1.0

        def __init__(self, job, numbers, width, layout, beside=None):
            self._name = layout.strategy

        def seconds(self, spend=0.1, most=None):
            tried.append(self._name)
            return seconds[self._name]

    tried: list[str] = []
    monkeypatch.setattr(strategy, "Timed", Fake)
    monkeypatch.setattr(remembered, "_FOUND", {})
    return tried


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def _resolved(steps, **arguments):
    result = sweep(regression(), adam, RATES, steps=steps, progress=False, **arguments)
    return result.strategy[0]


def test_a_short_sweep_takes_the_guess_and_a_long_one_tries(monkeypatch, folder):
    guessed = _resolved(2, seeds=1)
    times = {"shared": 1.0, "vmap": 1.0, "map:4": 1.0, "map:8": 1.0, "map": 0.5}
    tried = _timed(monkeypatch, times)
    assert _resolved(3) == guessed  # 3 s, in which no compilation of 1 s may be wasted
    assert set(tried) == {guessed}
    assert _resolved(45) == "map"  # 45 s: one more is tried
    assert set(tried) == {guessed, "map"}
    assert not list(remembered.cache_folder().glob("*"))  # not all were tried
    assert _resolved(200) == "map"
    assert set(tried) == {guessed, "map", "vmap"}
    tried.clear()
    remembered._FOUND.clear()  # another process
    assert _resolved(3) == "map"
    assert tried == []


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}'])
def test_a_damaged_file_is_no_memory(monkeypatch, folder, content):
    monkeypatch.setattr(remembered, "_FOUND", {})
    remembered.cache_folder().mkdir()
    (remembered.cache_folder() / "found.json").write_text(content)
    assert remembered.recall("a") is None
    remembered.remember("a", "map")
    monkeypatch.setattr(remembered, "_FOUND", {})
    assert remembered.recall("a") == "map"
    assert remembered.recall("b") is None


def test_where_nothing_can_be_written_this_process_remembers(monkeypatch, tmp_path):
    (tmp_path / "lropt_jax").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(remembered, "_FOUND", {})
    remembered.remember("a", "map")
    assert remembered.recall("a") == "map"


def test_a_second_sweep_with_auto_compiles_nothing(folder):
    _resolved(5)
    with counted() as compilations:
        _resolved(9, eval_every=2)
    assert compilations == []


def test_a_guess_gives_way_only_to_what_is_surely_faster(monkeypatch, folder):
    guessed = _resolved(2, seeds=1)
    times = dict.fromkeys(("shared", "vmap", "map:4", "map:8", "map"), 1.0)
    _timed(monkeypatch, {**times, "map": 0.98})
    assert _resolved(200) == guessed


def test_strategies_on_trial_train_the_same_lanes_further():
    plan = planned(regression(), adam, RATES, itinerary=itinerary(20, None))
    job, numbers = plan.jobs[0], plan.numbers(0)
    first = timing.Timed(job, numbers, 8, Layout("vmap", DEVICES))
    second = timing.Timed(job, numbers, 8, Layout("map", DEVICES), first)
    first.seconds(0.0)
    before = int(first._shared[0].step[0])
    assert second.seconds(0.0) > 0.0
    # Compiled, timed once, timed for a few.
    assert int(first._shared[0].step[0]) == before + 2 + timing.FEWEST
    assert len(second._shared) == 1
