"""A directory that grows: the result is that of one call, and only what is new is trained."""

from __future__ import annotations

import errno
import functools
import json
import os
import pathlib

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lropt_jax import (
    adam,
    choice,
    grid,
    load_sweep,
    log_uniform,
    pbt,
    sgd,
    successive_halving,
    sweep,
)
from lropt_jax.sweeps.keeping import lock as locks
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
from tests.test_sweep_executors import Here
from tests.test_sweep_store import contents, counted_updates

FEW = {"learning_rate": log_uniform(0.003, 1.0)}


def assert_equal(grown, one):
    """Array by array, with all that is said about them."""
    assert_same(grown, one)
    for name in ("status", "diverged_at", "reached", "steps"):
        assert_array_equal(getattr(grown, name), getattr(one, name))
    for name, values in one.final.items():
        assert_array_equal(grown.final[name], values)
    assert grown.trials == one.trials
    assert grown.seeds == one.seeds
    assert grown.model_steps == one.model_steps


@pytest.fixture
def trained(monkeypatch):
    """The lanes times updates that are really trained, most of them padded."""
    real, counts = Population.run, []

    def count(self, lanes, feed, updates):
        counts.append(int(np.sum(np.broadcast_to(updates, lanes.step.shape))))
        return real(self, lanes, feed, updates)

    monkeypatch.setattr(Population, "run", count)
    return counts


GROWTH = {
    "trials": ({"trials": 5}, {"trials": 11}),
    "seeds": ({"trials": 3, "seeds": 1}, {"trials": 3, "seeds": 3}),
    "both": ({"trials": 3, "seeds": [4]}, {"trials": 7, "seeds": [0, 4, 2]}),
    "values": (
        {"space": {"learning_rate": grid(0.01, 0.1)}},
        {"space": {"learning_rate": grid(0.003, 0.01, 0.03, 0.1, 0.3)}},
    ),
    "order": (
        {"space": {"learning_rate": grid(0.1, 0.01)}},
        {"space": {"learning_rate": grid(0.01, 0.1, 0.1)}},
    ),
    "names": (
        {"space": {"make": choice(adam), "learning_rate": grid(0.01, 0.1)}},
        {"space": {"make": choice(sgd, adam), "learning_rate": grid(0.01, 0.1, 1.0)}},
    ),
}


def made(learning_rate, make=adam):
    return make(learning_rate)


PLACES = {
    **{s: {"strategy": s} for s in ("vmap", "map", "map:2", "shared")},
    # Begun as narrow as it was small: blocks are always whole.
    **{f"{s} at any width": {"strategy": s, "width": None} for s in ("map", "map:2", "map:8")},
    "map:8 on one device": {"strategy": "map:8", "width": None, "devices": 1},
}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("what", GROWTH)
def test_it_is_one_call_array_by_array(tmp_path, what, where):
    before, after = ({"space": FEW, **PLACES[where], **given} for given in GROWTH[what])
    first = run(optimizer=made, directory=tmp_path, **before)
    assert first.trained_now == first.model_steps
    grown = run(optimizer=made, directory=tmp_path, **after)
    one = run(optimizer=made, **after)
    assert_equal(grown, one)
    assert grown.trained_now == one.model_steps - first.model_steps > 0
    again = run(optimizer=made, directory=tmp_path, **after)
    assert_equal(again, one)
    assert again.trained_now == 0
    assert_equal(load_sweep(tmp_path), one)


def test_only_what_is_new_is_trained(tmp_path, trained):
    run(FEW, trials=4, directory=tmp_path)
    del trained[:]
    run(FEW, trials=8, directory=tmp_path)
    assert sum(trained) == 4 * 20


@pytest.mark.parametrize("executor", [False, True])
def test_across_workers(tmp_path, executor):
    def call(trials, **where):
        where = {"executor": Here(), **where} if executor else {"devices": 1, **where}
        return run(FEW, trials=trials, seeds=2, **where)

    call(3, directory=tmp_path)
    grown = call(8, directory=tmp_path)
    assert_equal(grown, call(8))
    assert grown.trained_now == 5 * 2 * 20


def test_with_diverged_lanes_and_whole_splits(tmp_path):
    rates = [0.01, DIVERGES, 0.02, DIVERGES, 0.03, 100.0, 0.05]
    arguments = {**QUIET, "strategy": "vmap", "final_splits": ("train", "test")}
    call = functools.partial(sweep, task(), fragile, **arguments)
    call({"learning_rate": rates[:3]}, directory=tmp_path)
    grown = call({"learning_rate": rates}, directory=tmp_path)
    assert_equal(grown, call({"learning_rate": rates}))


def test_the_width_and_the_devices_that_it_was_begun_with_stay(tmp_path):
    first = run(FEW, trials=1, width=None, directory=tmp_path)
    assert first.width == [1]
    grown = run(FEW, trials=4, width=None, directory=tmp_path)
    assert grown.width == [1]
    assert_equal(grown, run(FEW, trials=4, width=1, devices=1))


def test_it_grows_while_it_is_unfinished(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Stopped):
            run(FEW, trials=6, directory=tmp_path)
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(Stopped):
            run(FEW, trials=9, seeds=2, directory=tmp_path)
    trained = counted_updates(monkeypatch)
    grown = run(FEW, trials=13, seeds=2, directory=tmp_path)
    assert trained
    assert_equal(grown, run(FEW, trials=13, seeds=2))
    assert grown.trained_now < grown.model_steps


@pytest.mark.parametrize("saves", range(8))
def test_killed_while_it_grows(tmp_path, monkeypatch, saves):
    run(FEW, trials=3, directory=tmp_path)
    with monkeypatch.context() as patch:
        stop_after(patch, saves)
        with pytest.raises(Stopped):
            run(FEW, trials=11, directory=tmp_path)
    assert_equal(run(FEW, trials=11, directory=tmp_path), run(FEW, trials=11))


def test_a_smaller_sweep_is_refused(tmp_path):
    run(FEW, trials=3, seeds=2, directory=tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"differs: space \(3 trials there, 1 of which are not"):
        run(FEW, trials=2, seeds=2, directory=tmp_path)
    with pytest.raises(ValueError, match=r"differs: seeds \(\[0, 1\] there, \[1, 2\] now\)"):
        run(FEW, trials=3, seeds=[1, 2], directory=tmp_path)
    with pytest.raises(ValueError, match=r"differs: steps \(20 there, 25 now\)"):
        run(FEW, trials=9, seeds=2, steps=25, directory=tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("rule", [successive_halving(eta=2, min_steps=5), pbt(every=5)])
def test_a_pruned_sweep_says_why_not_and_what_to_do(tmp_path, rule):
    first = run(FEW, trials=4, prune=rule, directory=tmp_path)
    before = contents(tmp_path)
    words = (
        "holds a pruned sweep of 4 trials and 1 seed, which cannot grow to 6 and 1.*Choose another"
    )
    with pytest.raises(ValueError, match=words):
        run(FEW, trials=6, prune=rule, directory=tmp_path)
    assert contents(tmp_path) == before
    assert_equal(run(FEW, trials=4, prune=rule, directory=tmp_path), first)


def test_a_search_says_why_not_and_what_to_do(tmp_path):
    pytest.importorskip("optuna")
    from lropt_jax import search

    with pytest.raises(ValueError, match=r"cannot grow in a directory.*Give the study a storage"):
        search(task(), adam, FEW, 4, directory=tmp_path)


def test_a_number_that_becomes_structure_is_another_sweep(tmp_path):
    run({"learning_rate": grid(0.01, 0.1)}, directory=tmp_path)
    with pytest.raises(ValueError, match="differs: space"):
        run({"learning_rate": choice(0.01, 0.1, static=True)}, directory=tmp_path)


def test_another_format_is_refused_with_a_clear_word(tmp_path):
    run(FEW, trials=2, directory=tmp_path)
    words = json.loads((tmp_path / "sweep.json").read_text())
    (tmp_path / "sweep.json").write_text(json.dumps({**words, "format": "lropt_jax sweep 2"}))
    with pytest.raises(ValueError, match="written by another version of lropt_jax"):
        run(FEW, trials=2, directory=tmp_path)


class ReadOnly:
    """Whoever tries to write below a folder meets a read-only disk."""

    def __init__(self, monkeypatch, folder):
        self.folder = pathlib.Path(folder).resolve()
        for module, name in ((os, "mkdir"), (os, "unlink"), (os, "replace")):
            monkeypatch.setattr(module, name, self.guarded(getattr(module, name)))
        monkeypatch.setattr("builtins.open", self.opened(open))
        monkeypatch.setattr("io.open", self.opened(open))

    def refuse(self, path):
        inside = isinstance(path, (str, os.PathLike)) and self.folder in (
            pathlib.Path(path).resolve(),
            *pathlib.Path(path).resolve().parents,
        )
        if inside:
            raise OSError(errno.EROFS, "Read-only file system", str(path))

    def guarded(self, real):
        def call(path, *arguments, **named):
            self.refuse(path)
            return real(path, *arguments, **named)

        return call

    def opened(self, real):
        def call(path, mode="r", *arguments, **named):
            if set(mode) & set("wax+"):
                self.refuse(path)
            return real(path, mode, *arguments, **named)

        return call


def test_a_finished_one_on_a_read_only_disk_is_read_back(tmp_path, monkeypatch):
    first = run(FEW, trials=3, directory=tmp_path, keep=1)
    with monkeypatch.context() as patch:
        ReadOnly(patch, tmp_path)
        with pytest.raises(OSError, match="Read-only"):
            (tmp_path / "new").write_text("")
        back = run(FEW, trials=3, directory=tmp_path, keep=1)
        assert_equal(back, first)
        assert_equal(load_sweep(tmp_path), first)
        back.trained()
        with pytest.raises(OSError, match=r"Read-only file system: .*lock"):
            run(FEW, trials=4, directory=tmp_path)
    assert run(FEW, trials=4, directory=tmp_path).trained_now == 20


def test_two_may_read_a_finished_one(tmp_path):
    first = run(FEW, trials=2, directory=tmp_path)
    held = locks.Lock(tmp_path / "lock")
    try:
        assert_equal(run(FEW, trials=2, directory=tmp_path), first)
        with pytest.raises(ValueError, match="is being worked on"):
            run(FEW, trials=3, directory=tmp_path)
    finally:
        held.release()


@pytest.mark.parametrize("what", ["cut", "gone"])
def test_a_finished_one_that_is_damaged_is_mended(tmp_path, what):
    first = run(FEW, trials=6, directory=tmp_path)
    piece = next((tmp_path / "pieces").glob("*.npz"))
    if what == "cut":
        os.truncate(piece, piece.stat().st_size // 2)
    else:
        for file in (tmp_path / "pieces").glob("*.npz"):
            file.unlink()
    mended = run(FEW, trials=6, directory=tmp_path)
    assert_equal(mended, first)
    assert mended.trained_now > 0
    assert run(FEW, trials=6, directory=tmp_path).trained_now == 0


def test_a_full_disk_names_the_file(tmp_path, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*sweep\.json") as raised:
        run(FEW, trials=2, directory=tmp_path)
    assert raised.value.errno == errno.ENOSPC
    assert pathlib.Path(raised.value.filename) == tmp_path / "sweep.json"


@pytest.mark.parametrize("saves", [0, 1])
def test_saved_is_said_only_where_something_was(tmp_path, monkeypatch, saves):
    from lropt_jax.sweeps.keeping.store import Directory

    real, left = Directory.save, [saves]

    def save(self, name, snapshot):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(self, name, snapshot)

    monkeypatch.setattr(Directory, "save", save)
    with pytest.raises(KeyboardInterrupt) as raised:
        run(FEW, trials=2, directory=tmp_path)
    assert bool(getattr(raised.value, "__notes__", [])) == bool(saves)


def test_the_home_folder_and_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run(FEW, trials=2, directory="~/kept")
    assert (tmp_path / "kept" / "sweep.json").exists()
    assert load_sweep("~/kept").trained_now == 0
