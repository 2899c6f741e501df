"""`sweep`: hundreds of configurations as one program that loses nothing."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import optax

from lropt_jax.progress import Progress, progress_bar
from lropt_jax.sweeps.deciding.rules import Rule
from lropt_jax.sweeps.keeping.memory import Store
from lropt_jax.sweeps.keeping.models import Keep, check_keep
from lropt_jax.sweeps.keeping.store import opened
from lropt_jax.sweeps.planning.plan import Plan, planned
from lropt_jax.sweeps.planning.space import Spaces
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.sweeps.running.again import TrainedModels
from lropt_jax.sweeps.running.best import HoldsBest
from lropt_jax.sweeps.running.conductor import Conductor
from lropt_jax.sweeps.running.placement import Placement
from lropt_jax.sweeps.running.processes import own_directory
from lropt_jax.tasks.task import Task
from lropt_jax.training.visits import itinerary
from lropt_jax.training.watching.names import EXAMPLES
from lropt_jax.training.watching.names import watched as what_is_watched
from lropt_jax.validation import names


def sweep(
    task: Task | Callable[..., Task],
    optimizer: Callable[..., optax.GradientTransformation],
    space: Spaces,
    trials: int | None = None,
    seeds: int | Sequence[int] = 1,
    steps: int = 1000,
    eval_every: int | None = None,
    key: Any = 0,
    strategy: str = "auto",
    width: int | None = None,
    devices: int | Sequence[Any] | None = None,
    prune: Rule | None = None,
    executor: Any = None,
    directory: str | os.PathLike[str] | None = None,
    progress: bool | Progress = True,
    *,
    keep: int | None = None,
    keep_by: tuple[str, str] | None = None,
    final_splits: str | Sequence[str] = (),
    watch: Sequence[str] = (),
    watch_examples: int = EXAMPLES,
) -> SweepResult:
    """Trains every configuration of a space on every seed, as one compiled program.

    Each configuration and seed is a lane of a population that trains side by side. A lane that
    diverges is reported, touches nothing else, and leaves its place to one that waits. At a given
    width, strategy and number of devices, a lane's result is the same to the last bit whatever
    trains beside it, in whichever order, and however often the sweep was interrupted.

    When to use:
      To map what hyperparameters do, or to find good ones of a given optimizer. Start with 16
      to 32 trials over two decades of the rate and 3 seeds. Not for more than about five
      hyperparameters at once without pruning or `search`, nor for a model that fills the
      device.

    Args:
      task: the training problem, or a function of names in the space that returns it.
      optimizer: any function of named numbers that returns an Optax transformation; schedules
        built in it are swept the same way:
        `lambda peak, warm: adamw(warmup(cosine_decay(peak, 900), warm))`.
      space: maps names of the optimizer's (or the task's) arguments to `grid`, `log_grid`,
        `uniform`, `log_uniform`, `integer`, `choice`, a list of values, or a fixed value; or a
        list of configurations, or of spaces where names go together (one for each optimizer with
        the names that it takes). What is no number (an optimizer, a model), a choice with
        `static=True`, the task's arguments and "batch_size" are compiled in: one program for each
        combination.
      trials: None for the full grid, in which the last name runs fastest; a number samples so
        many configurations by a scrambled Sobol sequence, of several spaces in turn.
      seeds: how many, or which; every configuration sees the same.
      steps: updates of each training.
      eval_every: updates between evaluations on the validation split; None evaluates at the end.
      key: an int seed or a JAX key; everything random comes from it.
      strategy: "vmap" (a device's lanes at once), "map" (one after another), "map:8" (blocks of
        8), "shared" (as "vmap", a chunk of one seed, whose batches are gathered once for all its
        lanes), or "auto": guessed from what a lane's arrays and the processor's cache hold
        ("shared" with one seed only); where training takes far longer than compiling, others are
        timed too, and what was found is remembered in the user's cache folder.
      width: lanes of the program; None takes what is useful and fits into the memory. Rounded up
        to a multiple of the devices.
      devices: to spread the lanes over, a sequence or how many; all local ones by default. With
        an executor, how many each worker uses of its own (default 1).
      prune: `successive_halving(...)` or `pbt(...)`: decides who goes on.
      executor: any `concurrent.futures.Executor` (Dask's, submitit's, mpi4py's, a process pool):
        runs each chunk as one task. A lost worker costs the chunk, which runs again.
      directory: where progress is kept. A killed sweep goes on from there when it is called
        again, and loses at most the running segment; a finished one is read back (`load_sweep`
        reads it without the task). Called with more trials, seeds or values than before, it grows:
        what is there stays, the rest is trained, and the result is that of one call at the width,
        by the strategy and on as many devices as it was begun with (by "map" and "map:8" at any
        width, bit for bit). So give the `width` where it begins small and is to become large. A
        pruned sweep cannot grow.
      progress: whether to show a live line.
      keep: of how many of the best configurations to keep the trained models, of all seeds, in the
        directory where there is one; `result.trained()` hands them out. None keeps none.
      keep_by: what they are the best by, `(metric, mode)`; by default as in `SweepResult.best`,
        which then goes by it, too.
      final_splits: splits to evaluate as a whole after the last update ("train", "test").
      watch, watch_examples: what else is measured at each evaluation, as in `train`: "sharpness",
        "preconditioned_sharpness", "update_ratio", "rotation", "noise_scale"; values of the result
        like its metrics.

    Returns:
      A `SweepResult`.

    Raises:
      ValueError: for arguments that do not fit, before anything is compiled; and for a directory
        that holds another sweep: it says what differs, and leaves the directory untouched.

    See also:
      `search`, `successive_halving`, `log_uniform`, `choice`, `tune`, `load_sweep`.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import Task, log_grid, sgd, sweep
      >>> def squares(params, batch):
      ...     return (batch["x"] @ params - batch["y"]) ** 2
      >>> data = {"x": jnp.eye(4), "y": jnp.arange(4.0)}
      >>> task = Task(
      ...     init=lambda key: (jnp.zeros(4), ()),
      ...     loss=lambda p, s, batch, key: (squares(p, batch).mean(), (s, {})),
      ...     evaluate=lambda p, s, batch: {"loss": squares(p, batch)},
      ...     train=data, valid=data, batch_size=4,
      ... )
      >>> result = sweep(
      ...     task, sgd, {"learning_rate": log_grid(0.01, 100.0, 5)}, steps=50, progress=False
      ... )
      >>> result.best()["learning_rate"], str(result.status[-1, 0])
      (1.0, 'diverged')
    """
    when = itinerary(steps, eval_every)
    placement = Placement(strategy, width, devices, executor)
    plan = planned(
        task, optimizer, space, trials, seeds,
        itinerary=when, key=key, rule=prune, splits=names(final_splits),
        watched=what_is_watched(watch, watch_examples),
    )  # fmt: skip
    kept = check_keep(keep, keep_by, plan.metrics, len(plan.seeds))
    return trained(plan, placement, directory, progress, kept)


def trained(
    plan: Plan,
    placement: Placement,
    directory: str | os.PathLike[str] | None = None,
    progress: bool | Progress = True,
    keep: Keep | None = None,
) -> SweepResult:
    """Trains a plan: what is trained, where, and what is kept where. See `sweep`.

    Raises:
      ValueError: for devices that there are not, and for a directory that holds another sweep.
    """
    if placement.spread and directory is not None:
        directory = own_directory(directory)
    if placement.spread and jax.process_index():
        progress = False
    with (
        opened(directory, plan, functools.partial(placement.identity, plan)) as store,
        progress_bar(progress, plan.model_steps, "sweep") as bar,
        _says_how_to_go_on(directory, store),
    ):
        run = placement.runner(plan, store, bar)
        store.begin(dict(zip(plan.group_names, run.resolved, strict=True)))
        best = None if keep is None else HoldsBest(keep, store.put, store.drop)
        result = Conductor(plan, store.lots, run, bar, best).conduct()
        devices = placement.here(plan, store.devices)
        models = TrainedModels(plan, run.resolved, devices, store)
        result.models = models
        if keep is not None:
            result.by = keep.metric, keep.mode
            models.keep(result, keep, placement.spread)
        store.finish(result)
    return result


@contextlib.contextmanager
def _says_how_to_go_on(directory: Any, store: Store) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if store.saved:
            interrupt.add_note(f"Saved in {directory}. Call it again to go on from there")
        raise
