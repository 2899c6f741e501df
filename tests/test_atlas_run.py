"""The Atlas's design and run: what is drawn, what is pasted, resuming, workers."""

import concurrent.futures
import contextlib
import dataclasses
import inspect
import multiprocessing
import os
import pathlib
import shutil
import subprocess
import sys
import time

import jax
import numpy as np
import optax
import pandas as pd
import pytest

import lropt_jax
from lropt_jax.atlas import entries, part
from lropt_jax.atlas.design import MICROSECONDS, Design, design, metric_of
from lropt_jax.atlas.entries import ENTRIES, entry, own_entry
from lropt_jax.atlas.rows import as_parquet, gathered, shipped, stacked
from lropt_jax.atlas.run import own_pool, run_atlas
from lropt_jax.atlas.verify import alike, verified
from lropt_jax.cli import main
from lropt_jax.comparisons.families import SCHEDULE_FAMILIES
from lropt_jax.problems.catalogue import PROBLEMS

ROOT = pathlib.Path(__file__).parents[1]

TINY = Design(
    problems=("noisy_quadratic",), entries=(entry("adamw"),), configurations=4, few=2, rates=2,
    seeds=2, target_seeds=2, steps_share=0.02,
)  # fmt: skip


def test_who_takes_part_and_on_what():
    assert set(lropt_jax.OPTIMIZERS) <= set(ENTRIES)
    assert len(ENTRIES) == 24
    assert set(MICROSECONDS) == set(PROBLEMS)
    assert set(entries.REFERENCES) <= set(ENTRIES)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_rate_is_drawn_over_four_decades_and_every_number_is_one_of_the_factory(name):
    found = ENTRIES[name]
    assert found.rates.high / found.rates.low == pytest.approx(1e4)
    assert set(found.default) == set(found.space)
    taken = inspect.signature(found.factory).parameters
    assert {"learning_rate", *found.further, *found.fixed} <= set(taken)


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("family", [0, 2, 3])
def test_the_line_to_paste_makes_what_was_trained(name, family):
    found = ENTRIES[name]
    configuration = {**found.default, "family": family, "warm": 0.25}
    pasted = eval(found.code(configuration, 8), {"lropt_jax": lropt_jax, "optax": optax})
    trained = found.planned(8)(**found.numbers(configuration, 8))
    params = {"w": np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3), "b": np.ones(3, np.float32)}
    ours, theirs = params, params
    states = pasted.init(params), trained.init(params)
    for step in range(5):
        grads = jax.tree.map(lambda p, step=step: np.cos(p + step).astype(np.float32), params)
        a, states = _updated(pasted, trained, grads, states, ours, theirs)
        ours, theirs = optax.apply_updates(ours, a[0]), optax.apply_updates(theirs, a[1])
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-4, atol=1e-6), ours, theirs)


def _updated(pasted, trained, grads, states, ours, theirs):
    a, first = pasted.update(grads, states[0], ours)
    b, second = trained.update(grads, states[1], theirs)
    return (a, b), (first, second)


def test_configurations_are_the_same_points_for_all_and_fewer_are_the_first_of_more():
    adamw, sgd = (design().tuning(entry(n)) for n in ("adamw", "sgd"))
    assert len(adamw) == 72
    for a, b in zip(adamw[:64], sgd[:64], strict=True):
        assert a["family"] == b["family"]
        assert a["learning_rate"] == pytest.approx(b["learning_rate"])
    few = dataclasses.replace(design(), configurations=8).tuning(entry("adamw"))
    assert few[:8] == adamw[:8]
    families = [c["family"] for c in adamw[:64]]
    assert [families.count(k) for k in range(4)] == [16] * 4
    ladder = [c["learning_rate"] for c in adamw[64:]]
    np.testing.assert_allclose(np.diff(np.log10(ladder)), 0.5)


def test_budgets_choose_among_what_they_tried():
    plan = dataclasses.replace(TINY, configurations=4, few=2)
    scores = np.array([0.3, 0.2, np.nan, 0.9, 0.0, 0.0])  # the last two are the rates
    assert part.choices(scores, plan, "min") == {"defaults": -1, "few": 1, "all": 1}
    assert part.choices(scores, plan, "max") == {"defaults": -1, "few": 0, "all": 3}
    assert part.choices(np.full(6, np.inf), plan, "min") == {"defaults": -1}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas")
    return run_atlas(TINY, folder), folder


def test_rows_of_a_part(ran):
    (file,), _ = ran
    frame = pd.read_parquet(file)
    assert frame.groupby("phase").size().to_dict() == {
        "tune": 4, "rates": 2, "retrain": 2 * frame[frame.phase == "retrain"].trial.nunique(),
        "target": 2,
    }  # fmt: skip
    tested = frame.phase == "retrain"
    assert frame[tested].test_loss.notna().all()
    assert frame[~tested].test_loss.isna().all()
    best = frame[frame.phase == "tune"].valid_loss.argmin()
    assert set(frame[frame.budgets.str.contains("all")].trial) == {best}
    assert frame.start.iloc[0] == pytest.approx(0.5 * (1 / np.arange(1, 1001)).sum(), rel=1e-3)
    curves = np.stack(frame[tested].curve)
    np.testing.assert_array_equal(curves[:, -1], frame[tested].valid_loss)
    configuration = TINY.tuning(entry("adamw"))[best]
    row = frame[(frame.phase == "tune") & (frame.trial == best)].iloc[0]
    assert row.learning_rate == configuration["learning_rate"]


def test_a_finished_part_is_read_back_and_another_design_is_refused(ran, monkeypatch):
    files, folder = ran
    monkeypatch.setattr("lropt_jax.atlas.run.trained_part", None)  # nothing may be trained
    assert run_atlas(TINY, folder) == files
    with pytest.raises(ValueError, match="its few is 2, not 1"):
        run_atlas(dataclasses.replace(TINY, few=1), folder)


def test_an_interrupted_part_goes_on_and_ends_in_the_same_bytes(ran, tmp_path, monkeypatch):
    (file,), _ = ran
    real = part.sweep

    def stopped(*arguments, **named):
        if len(named["seeds"]) > 1:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(part, "sweep", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_atlas(TINY, tmp_path)
    assert (tmp_path / "work" / "noisy_quadratic" / "adamw" / "tune").exists()
    monkeypatch.setattr(part, "sweep", real)
    (again,) = run_atlas(TINY, tmp_path)
    assert again.read_bytes() == file.read_bytes()
    assert not (tmp_path / "work" / "noisy_quadratic" / "adamw").exists()


def test_an_executor_trains_the_same_bytes(ran, tmp_path):
    (file,), _ = ran
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        (again,) = run_atlas(TINY, tmp_path, pool)
    assert again.read_bytes() == file.read_bytes()


def mine(learning_rate, momentum=0.5, power=2.0):
    return optax.sgd(learning_rate, momentum)


def test_an_own_optimizer_is_tuned_by_what_its_arguments_are_called():
    found = own_entry("mine", mine)
    assert set(found.space) == {"learning_rate", "family", "warm", "momentum"}
    assert found.default["momentum"] == 0.5
    assert found.default["learning_rate"] == 1e-3
    with pytest.raises(ValueError, match="--add x: it must be a function of learning_rate"):
        own_entry("x", lambda rate: optax.sgd(rate))
    with pytest.raises(ValueError, match="it takes learning_rate, other"):
        own_entry("x", lambda learning_rate, other: optax.sgd(learning_rate))


def test_the_plan_is_said_and_unknown_problems_are_refused():
    words = design().plan(2)
    assert "24 optimizers on 14 problems" in words
    assert "336" in words
    minutes = sum(design().seconds(p, e) for p, e in design().parts) / 60 / 2
    assert minutes < 240
    assert sum(design(quick=True).seconds(p, e) for p, e in design(quick=True).parts) / 60 / 2 < 10
    assert design(problems=["shuttle", "digits_linear"]).problems == ("digits_linear", "shuttle")
    with pytest.raises(ValueError, match="unknown problem 'mnist'"):
        design(problems=["mnist"])
    assert metric_of("yeast") == ("loss", "min")


def test_without_data_it_says_how_to_make_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no data\. `lropt atlas` makes them"):
        lropt_jax.load_atlas(tmp_path)


def test_rows_of_a_run_are_put_beside_others_once(ran, tmp_path):
    (file,), folder = ran
    others = pd.read_parquet(file)
    both = stacked([others, others.assign(optimizer="mine", power=2.0)])
    path = tmp_path / "noisy_quadratic.parquet"
    path.write_bytes(as_parquet(both))
    found = gathered(folder, TINY.problems, [path])
    assert found.groupby("optimizer").size().to_dict() == {
        "adamw": len(others),
        "mine": len(others),
    }
    assert found.power.notna().sum() == len(others)
    shutil.rmtree(folder / "data")


def test_a_run_is_read_as_a_frame(ran):
    _, folder = ran
    frame = lropt_jax.load_atlas(folder)
    assert {"optimizer", "problem", "seed", "phase", "learning_rate"} <= set(frame.columns)
    assert len(frame.attrs["data"]) == 12


def test_rows_are_verified_by_training_them_again(ran):
    _, folder = ran
    frame = lropt_jax.load_atlas(folder)
    said = []
    found = verified(frame, 2, seed=0, say=said.append)
    assert found.agrees.all()
    np.testing.assert_allclose(found.now, found.then, rtol=1e-3)
    assert "agrees" in said[0]
    wrong = frame.assign(test_loss=frame.test_loss + 100.0)
    assert not verified(wrong, 1, seed=0).agrees.any()
    with pytest.raises(ValueError, match="no data of problem 'shuttle'"):
        verified(frame, 1, ["shuttle"])


def test_what_agrees():
    lanes = np.array([0.1, 0.11, 0.12, 0.13])
    assert alike(0.1, 0.10009, lanes)
    assert alike(0.1, 0.125, lanes)
    assert not alike(0.1, 0.2, lanes)
    assert alike(np.nan, np.nan, lanes)
    assert not alike(0.1, np.nan, lanes)


def test_what_ships_is_whole_and_small():
    files = shipped()
    assert sum(file.stat().st_size for file in files) < 4e6
    frame = lropt_jax.load_atlas()
    assert set(frame.problem) == {file.stem for file in files} <= set(PROBLEMS)
    pairs = frame.groupby("problem").optimizer.unique()
    assert all(set(names) == set(ENTRIES) for names in pairs)
    assert set(frame.phase) == {"tune", "rates", "retrain", "target"}
    assert frame.attrs["atlas"] == "1.0"
    page = ROOT / "docs" / "atlas" / "atlas.html"
    made = f'"data":"{frame.attrs["data"]}"'
    assert made in page.read_text(encoding="utf-8"), "python docs/atlas/make.py writes it anew"


def test_what_ships_was_trained_at_the_configurations_that_the_design_draws():
    tuned = lropt_jax.load_atlas().query("phase in ('tune', 'rates')")
    for name, rows in tuned.groupby("optimizer"):
        drawn = design().tuning(entry(name))
        for column in entry(name).space.keys() - {"family"}:
            wanted = [drawn[t][column] for t in rows.trial]
            np.testing.assert_allclose(rows[column], wanted, rtol=1e-6)
        families = [SCHEDULE_FAMILIES[int(drawn[t]["family"])] for t in rows.trial]
        assert list(rows.schedule) == families


@pytest.mark.slow
def test_a_run_that_is_killed_at_random_moments_ends_in_the_same_bytes(ran, tmp_path):
    (file,), _ = ran
    code = (
        "from tests.test_atlas_run import TINY\n"
        "from lropt_jax.atlas.run import run_atlas\n"
        f"run_atlas(TINY, {str(tmp_path)!r})\n"
    )
    again = tmp_path / "parts" / "noisy_quadratic" / "adamw.parquet"
    # The first is too early for any machine, the last late enough for a slow one.
    moments, kills = np.random.default_rng(0).uniform(1, 2, 20) * 1.3 ** np.arange(20), 0
    for moment in moments:
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
        try:
            assert process.wait(timeout=moment) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        if again.exists():
            break
    else:
        run_atlas(TINY, tmp_path)
    assert kills
    assert again.read_bytes() == file.read_bytes()


def test_workers_end_at_once_when_the_run_is_interrupted():
    workers = set()

    def interrupted():
        with own_pool(2) as pool:
            running = [pool.submit(time.sleep, 600) for _ in range(4)]
            while not running[0].running():
                time.sleep(0.1)
            workers.update(multiprocessing.active_children())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert workers
    # By the system: the pool's own thread waits for them, too, and who comes second hears nothing.
    deadline = time.monotonic() + 60
    while any(_there(worker.pid) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _there(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_two_workers_of_a_cluster_train_the_same_rows(ran, tmp_path):
    distributed = pytest.importorskip("distributed")
    (file,), _ = ran
    plan = dataclasses.replace(TINY, entries=(entry("adamw"), entry("lion")))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        first, second = run_atlas(plan, tmp_path, client.get_executor())
    assert first.read_bytes() == file.read_bytes()
    assert second.exists()


@contextlib.contextmanager
def _here(workers):
    yield None


def test_the_command(ran, tmp_path, monkeypatch, capsys):
    _, folder = ran
    monkeypatch.setattr("lropt_jax.atlas.design.design", lambda *_, **changes: TINY)
    monkeypatch.setattr("lropt_jax.atlas.run.own_pool", _here)
    assert main(["atlas", "--plan", "--output", str(tmp_path / "none")]) == 0
    assert "1 optimizer on 1 problem" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()
    assert main(["atlas", "--output", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "One problem alone says nothing about others. adamw is first." in told
    page = (folder / "index.html").read_text()
    assert "noisy_quadratic" in page
    assert (folder / "data" / "noisy_quadratic.parquet").exists()
    assert main(["atlas", "--add", "no_such_module:mine"]) == 2
    assert "--add" in capsys.readouterr().err
    assert main(["atlas", "--verify", "0"]) == 2
    assert "--verify must be a whole number >= 1, got 0" in capsys.readouterr().err
