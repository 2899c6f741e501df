"""Chunks on other processes: a pool that is whole, one that breaks, and what errors look like."""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import multiprocessing
import os
import signal
import warnings

import numpy as np
import pytest

from lropt_jax import adam, log_grid, pbt, successive_halving, sweep
from tests.sweep_problems import QUIET, assert_same, run, task

SPACE = {"learning_rate": log_grid(0.003, 1.0, 6)}
SPAWN = multiprocessing.get_context("spawn")


class Here(concurrent.futures.Executor):
    """Runs tasks at once; loses those whose number it was given."""

    def __init__(self, lost=(), closed_after=None):
        self.lost, self.closed_after, self.count = set(lost), closed_after, 0

    def submit(self, function, *arguments):
        self.count += 1
        if self.closed_after is not None and self.count > self.closed_after:
            raise RuntimeError("cannot schedule new futures")
        future = concurrent.futures.Future()
        if self.count in self.lost:
            future.set_exception(concurrent.futures.process.BrokenProcessPool("worker died"))
        else:
            future.set_result(function(*arguments))
        return future


@pytest.fixture(scope="module")
def alone():
    return run(SPACE, devices=1)


def test_an_executor_changes_no_bit(alone):
    executor = Here()
    assert_same(alone, run(SPACE, executor=executor))
    assert executor.count == 1 + 2  # the resolution, then a task a chunk


def test_a_lost_worker_costs_its_chunk_which_runs_again(alone):
    executor = Here(lost=[2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(alone, run(SPACE, executor=executor))
    assert executor.count == 4


@pytest.mark.parametrize("executor", [Here(closed_after=2), Here(lost=range(2, 99))])
def test_a_pool_that_breaks_for_good_hands_the_rest_over(alone, executor):
    with pytest.warns(UserWarning, match="this process runs the rest"):
        assert_same(alone, run(SPACE, executor=executor))


@pytest.mark.parametrize("rule", [successive_halving(eta=2, min_steps=5), pbt(every=5)])
def test_rules_work_across_workers(rule):
    here = run(SPACE, devices=1, prune=rule, seeds=2)
    there = run(SPACE, executor=Here(), prune=rule, seeds=2)
    assert_same(here, there)
    assert here.lineage == there.lineage


def test_a_directory_keeps_what_arrived(tmp_path, alone):
    class Dies(Exception):
        pass

    class Dying(Here):
        def submit(self, function, *arguments):
            if self.count == 2:
                raise Dies
            return super().submit(function, *arguments)

    class OneAtATime(Dying):
        pass

    with pytest.raises(Dies):
        run(SPACE, executor=OneAtATime(), directory=tmp_path)
    again = Here()
    assert_same(alone, run(SPACE, executor=again, directory=tmp_path))
    third = Here()
    assert_same(alone, run(SPACE, executor=third, directory=tmp_path))
    assert third.count == 0


def test_an_error_of_the_task_is_raised_with_its_place():
    def broken(learning_rate):
        if os.environ.get("LROPT_TEST_BROKEN"):
            raise ZeroDivisionError("in the user's code")
        return adam(learning_rate)

    class Elsewhere(Here):
        def submit(self, function, *arguments):
            os.environ["LROPT_TEST_BROKEN"] = "1"
            try:
                return super().submit(function, *arguments)
            finally:
                del os.environ["LROPT_TEST_BROKEN"]

    with pytest.raises(ZeroDivisionError, match="in the user's code") as raised:
        run(SPACE, broken, executor=Elsewhere())
    assert "On the worker" in "\n".join(raised.value.__notes__)


@pytest.mark.slow
def test_a_spawned_process_pool(alone):
    scale = 1.0
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        result = sweep(
            task(),
            lambda learning_rate: adam(learning_rate * scale),
            SPACE,
            executor=pool,
            **{**QUIET, "strategy": "auto"},
        )
    here = run(SPACE, lambda learning_rate: adam(learning_rate * scale), devices=1,
               strategy=result.strategy[0])  # fmt: skip
    assert_same(here, result)


class _Killing:
    """An optimizer's wrapper that kills the first worker it comes to."""

    def __init__(self, mark):
        self.mark = mark

    def __call__(self, learning_rate):
        if multiprocessing.parent_process() is not None and not os.path.exists(self.mark):
            open(self.mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return adam(learning_rate)


@pytest.mark.slow
def test_a_process_pool_whose_worker_is_killed(tmp_path):
    optimizer = _Killing(str(tmp_path / "killed"))
    with (
        concurrent.futures.ProcessPoolExecutor(1, mp_context=SPAWN) as pool,
        pytest.warns(UserWarning, match="this process runs the rest"),
    ):
        result = run(SPACE, optimizer, executor=pool)
    assert os.path.exists(tmp_path / "killed")
    assert_same(run(SPACE, optimizer, devices=1), result)


@pytest.mark.slow
def test_dask_with_a_worker_killed_in_the_middle(tmp_path):
    distributed = pytest.importorskip("distributed")
    dask = pytest.importorskip("dask")
    mark = str(tmp_path / "killed")

    class Killing(_Killing):
        def __call__(self, learning_rate):
            import distributed.worker

            try:
                distributed.get_worker()
            except ValueError:  # not on a worker
                return adam(learning_rate)
            if not os.path.exists(self.mark):
                open(self.mark, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            return adam(learning_rate)

    optimizer = Killing(mark)
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "60s"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        result = run(SPACE, optimizer, executor=client.get_executor())
    assert os.path.exists(mark)
    assert_same(run(SPACE, optimizer, devices=1), result)
    assert np.isfinite(result.values["valid_loss"]).all()
