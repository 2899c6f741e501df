"""Killed, cut off, refused: what a sweep's directory promises."""

from __future__ import annotations

import errno
import functools
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import jax
import numpy as np
import pytest

from lropt_jax import adam, grid, load_sweep, log_grid, successive_halving
from lropt_jax.sweeps.keeping.lock import Lock
from lropt_jax.sweeps.keeping.progress import trained_before, trained_in
from lropt_jax.sweeps.keeping.store import Directory
from lropt_jax.sweeps.planning.plan import planned
from lropt_jax.sweeps.running.placement import Placement
from lropt_jax.training.visits import itinerary
from tests.sweep_problems import QUIET, Stopped, assert_same, run, stop_after, task

SPACE = {"learning_rate": log_grid(0.003, 1.0, 6)}  # two chunks of four lanes
PRUNE = successive_halving(eta=2, min_steps=5)


def contents(directory):
    files = sorted(p for p in pathlib.Path(directory).rglob("*") if p.is_file())
    return {str(p.relative_to(directory)): p.read_bytes() for p in files}


def counted_updates(monkeypatch):
    """The updates of each segment that is trained from here on."""
    from lropt_jax.training.population import Population

    real, count = Population.run, []

    def train(self, lanes, feed, updates):
        count.append(int(np.max(updates)))
        return real(self, lanes, feed, updates)

    monkeypatch.setattr(Population, "run", train)
    return count


@pytest.fixture(scope="module")
def whole():
    return run(SPACE)


@pytest.fixture(scope="module")
def whole_pruned():
    return run(SPACE, prune=PRUNE)


@pytest.mark.parametrize("saves", [0, 1, 3, 4, 6])
def test_a_killed_sweep_goes_on_bit_identically(tmp_path, monkeypatch, whole, saves):
    with monkeypatch.context() as patch:
        stop_after(patch, saves)
        with pytest.raises(Stopped):
            run(SPACE, directory=tmp_path)
    trained = counted_updates(monkeypatch)
    assert_same(whole, run(SPACE, directory=tmp_path))
    # Two chunks of four segments of five updates; what was saved is not trained again.
    assert sum(trained) == 40 - 5 * saves


@pytest.mark.parametrize("saves", [1, 2, 3, 4])
def test_a_killed_pruned_sweep_goes_on_bit_identically(tmp_path, monkeypatch, whole_pruned, saves):
    with monkeypatch.context() as patch:
        stop_after(patch, saves)
        with pytest.raises(Stopped):
            run(SPACE, directory=tmp_path, prune=PRUNE)
    resumed = run(SPACE, directory=tmp_path, prune=PRUNE)
    assert_same(whole_pruned, resumed)
    np.testing.assert_array_equal(whole_pruned.status, resumed.status)


def test_in_the_middle_between_two_evaluations(tmp_path, monkeypatch):
    monkeypatch.setattr("lropt_jax.training.visits.LONGEST_SEGMENT", 4)
    plain = run(SPACE, eval_every=10)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)  # after 8 of 10 updates
        with pytest.raises(Stopped):
            run(SPACE, eval_every=10, directory=tmp_path)
    trained = counted_updates(monkeypatch)
    assert_same(plain, run(SPACE, eval_every=10, directory=tmp_path))
    assert sum(trained) == 40 - 8


def test_a_finished_sweep_is_read_back(tmp_path, monkeypatch, whole):
    first = run(SPACE, directory=tmp_path)
    there = contents(tmp_path)
    trained = counted_updates(monkeypatch)
    again = run(SPACE, directory=tmp_path)
    assert trained == []
    assert_same(whole, first)
    assert_same(whole, again)
    assert contents(tmp_path) == there
    assert first.model_steps == again.model_steps == 6 * 20


def test_the_table_lies_beside(tmp_path, whole):
    import pandas as pd

    run(SPACE, directory=tmp_path)
    frame = pd.read_parquet(tmp_path / "results.parquet")
    pd.testing.assert_frame_equal(frame, whole.to_pandas(), check_dtype=False)


@pytest.mark.parametrize("saves", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("kept", [0, 10, 0.5])
def test_a_power_cut_that_truncates_the_newest_file(tmp_path, monkeypatch, whole, saves, kept):
    with monkeypatch.context() as patch:
        stop_after(patch, saves)
        with pytest.raises(Stopped):
            run(SPACE, directory=tmp_path)
    newest = max(tmp_path.rglob("*.npz"), key=lambda p: p.stat().st_mtime_ns)
    size = newest.stat().st_size
    os.truncate(newest, int(size * kept) if isinstance(kept, float) else kept)
    trained = counted_updates(monkeypatch)
    assert_same(whole, run(SPACE, directory=tmp_path))
    assert sum(trained) == 40 - 5 * (saves - 1)


def test_a_power_cut_at_the_very_first_file(tmp_path, monkeypatch, whole):
    with monkeypatch.context() as patch:
        stop_after(patch, 0)
        # A power cut tidies nothing up.
        patch.setattr(Directory, "close", lambda store: store._lock.release())
        with pytest.raises(Stopped):
            run(SPACE, directory=tmp_path)
    os.truncate(tmp_path / "sweep.json", 7)
    assert_same(whole, run(SPACE, directory=tmp_path))


def test_a_flipped_bit_is_noticed(tmp_path, monkeypatch, whole):
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Stopped):
            run(SPACE, directory=tmp_path)
    newest = max(tmp_path.rglob("*.npz"), key=lambda p: p.stat().st_mtime_ns)
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 0x10
    newest.write_bytes(damaged)
    assert_same(whole, run(SPACE, directory=tmp_path))


@pytest.mark.parametrize("rule", [None, PRUNE])
@pytest.mark.parametrize("saves", [1, 3, 4])
def test_what_was_trained_before_is_known_beforehand(tmp_path, monkeypatch, rule, saves):
    arguments = {"steps": QUIET["steps"], "prune": rule}
    with monkeypatch.context() as patch:
        stop_after(patch, saves)
        with pytest.raises(Stopped):
            run(SPACE, directory=tmp_path, **arguments)
    there, when = contents(tmp_path), itinerary(QUIET["steps"], QUIET["eval_every"])
    plan = planned(task(), adam, SPACE, itinerary=when, rule=rule)
    where = functools.partial(Placement("vmap", QUIET["width"]).identity, plan)
    made = trained_before(tmp_path, plan, where)
    assert trained_in(tmp_path) == made
    assert contents(tmp_path) == there
    result = run(SPACE, directory=tmp_path, **arguments)
    assert trained_in(tmp_path.parent, of=tmp_path.name) == result.model_steps
    assert trained_in(tmp_path, of="elsewhere") == 0
    assert made == result.model_steps - result.trained_now > 0
    assert trained_before(tmp_path, plan, where) == plan.model_steps
    assert trained_before(tmp_path / "nowhere", plan, where) == 0


@pytest.mark.parametrize("kept", [None, 0, 0.5])
def test_a_damaged_result_is_written_again(tmp_path, monkeypatch, whole, kept):
    run(SPACE, directory=tmp_path)
    result = tmp_path / "result.npz"
    if kept is None:
        result.unlink()
    else:
        os.truncate(result, int(result.stat().st_size * kept))
    with pytest.raises(ValueError, match="result"):
        load_sweep(tmp_path)
    trained = counted_updates(monkeypatch)
    run(SPACE, directory=tmp_path)
    assert trained == []
    assert_same(whole, load_sweep(tmp_path))


def test_a_damaged_manifest_is_no_sweeps(tmp_path):
    run(SPACE, directory=tmp_path)
    manifest = tmp_path / "sweep.json"
    manifest.write_text(manifest.read_text().replace('"strategy"', '"st2ategy"'))
    with pytest.raises(ValueError, match="holds no sweep"):
        run(SPACE, directory=tmp_path)


def test_a_full_disk_is_reported_and_loses_nothing(tmp_path, monkeypatch, whole):
    real = os.fsync
    left = [5]

    def full(file):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            run(SPACE, directory=tmp_path)
    assert not list(tmp_path.rglob("*.writing"))
    assert_same(whole, run(SPACE, directory=tmp_path))


CHANGES = {
    "space": {"space": {"learning_rate": log_grid(0.003, 1.0, 5)}},
    "seeds": {"seeds": [1]},
    "steps": {"steps": 25},
    "eval_every": {"eval_every": 10},
    "key": {"key": 1},
    "width": {"width": 6},
    "strategy": {"strategy": "map"},
    "devices": {"devices": 1},
    "prune": {"prune": PRUNE},
    "optimizer": {"optimizer": lambda learning_rate: adam(learning_rate, b1=0.8)},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("finished")
    run(SPACE, adam, directory=directory)
    return directory


@pytest.mark.parametrize("what", CHANGES)
def test_another_sweep_is_refused_and_the_directory_left_untouched(finished, what):
    before = contents(finished)
    arguments = {"space": SPACE, "optimizer": adam, **CHANGES[what]}
    with pytest.raises(ValueError, match=rf"what differs: {what} \(.*another directory"):
        run(**arguments, directory=finished)
    assert contents(finished) == before


def test_other_data_code_and_versions_are_refused(finished, monkeypatch):
    import dataclasses

    from lropt_jax import sweep
    from tests.sweep_problems import QUIET, task

    arguments = {**QUIET, "strategy": "vmap", "directory": finished}
    data = {k: np.copy(v) for k, v in task().train.items()}
    data["x"][3, 2] += 1e-6
    with pytest.raises(ValueError, match=r"what differs: data \("):
        sweep(dataclasses.replace(task(), train=data), adam, SPACE, **arguments)
    other = dataclasses.replace(task(), loss=lambda *a: task().loss(*a))
    with pytest.raises(ValueError, match=r"what differs: task \("):
        sweep(other, adam, SPACE, **arguments)
    with monkeypatch.context() as patch:
        patch.setattr("lropt_jax.sweeps.planning.plan.versions", lambda: "jax 99")
        with pytest.raises(ValueError, match=r"what differs: versions \(.*jax 99"):
            run(SPACE, adam, directory=finished)
    with jax.enable_x64(True), pytest.raises(ValueError, match=r"what differs: .*settings"):
        run(SPACE, adam, directory=finished)


def test_a_constant_inside_the_optimizer_counts_as_code(tmp_path):
    def make(decay):
        return lambda learning_rate: adam(learning_rate, weight_decay=decay)

    run({"learning_rate": grid(0.1)}, make(0.0), directory=tmp_path)
    run({"learning_rate": grid(0.1)}, make(0.0), directory=tmp_path)
    with pytest.raises(ValueError, match="optimizer"):
        run({"learning_rate": grid(0.1)}, make(0.01), directory=tmp_path)


def test_a_directory_that_is_not_ours_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="not empty and holds no sweep"):
        run(SPACE, directory=tmp_path)
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}
    with pytest.raises(ValueError, match="is a file"):
        run(SPACE, directory=tmp_path / "thesis.tex")


def test_auto_is_resolved_once(tmp_path, monkeypatch):
    monkeypatch.setattr("lropt_jax.sweeps.running.strategy._fastest", lambda *a: "map")
    first = run(SPACE, directory=tmp_path, strategy="auto")
    monkeypatch.setattr("lropt_jax.sweeps.running.strategy._fastest", lambda *a: "vmap")
    again = run(SPACE, directory=tmp_path, strategy="auto")
    assert first.strategy == again.strategy == ["map"]


def test_the_second_on_a_directory_is_refused(tmp_path):
    held = Lock(tmp_path / "lock")
    try:
        with pytest.raises(ValueError, match="is being worked on"):
            Lock(tmp_path / "lock")
        code = "import sys, pathlib; from lropt_jax.sweeps.keeping.lock import Lock\n"
        code += "Lock(pathlib.Path(sys.argv[1]))"
        command = [sys.executable, "-c", code, str(tmp_path / "lock")]
        other = subprocess.run(command, capture_output=True, timeout=120, check=False)
        assert b"is being worked on" in other.stderr
    finally:
        held.release()
    Lock(tmp_path / "lock").release()


PROGRAM = """
import sys, jax
jax.config.update("jax_num_cpu_devices", 2)
from lropt_jax import log_grid
from tests.sweep_problems import run
run({"learning_rate": log_grid(0.003, 1.0, 6)}, directory=sys.argv[1], steps=int(sys.argv[2]))
"""


@pytest.mark.slow
def test_kill_minus_nine_at_any_moment(tmp_path):
    steps = 4000
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path), str(steps)]
    kills = 0
    for saves in (1, 200):
        process = subprocess.Popen(program, cwd=pathlib.Path(__file__).parents[1])
        deadline = time.monotonic() + 120
        start = _saves(tmp_path)
        while process.poll() is None and time.monotonic() < deadline:
            if _saves(tmp_path) >= start + saves:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.003)
        kills += process.wait() == -signal.SIGKILL
    assert kills
    assert_same(run(SPACE, steps=steps), run(SPACE, steps=steps, directory=tmp_path))


def _saves(directory):
    found = [int(p.name.split(".")[-2]) for p in pathlib.Path(directory).rglob("*.npz")]
    return sum(found)
