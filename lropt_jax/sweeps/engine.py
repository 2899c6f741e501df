"""`sweep`: hundreds of configurations as one program that loses nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax

from lropt_jax.hyperparameters.building import tunable
from lropt_jax.progress import Progress, progress_bar
from lropt_jax.schedules import Schedule
from lropt_jax.sweeps.deciding.rules import Rule
from lropt_jax.sweeps.keeping.identity import of_sweep
from lropt_jax.sweeps.keeping.store import Store
from lropt_jax.sweeps.planning import checks
from lropt_jax.sweeps.planning.groups import Group, groups
from lropt_jax.sweeps.planning.space import Space, draw
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.sweeps.results.table import Table
from lropt_jax.sweeps.running.conductor import Conductor
from lropt_jax.sweeps.running.pieces import Job, RunPieces
from lropt_jax.sweeps.running.processes import AcrossProcesses, exchanged, own_directory
from lropt_jax.sweeps.running.runners import InProcess, OnExecutor
from lropt_jax.sweeps.running.strategy import Resolved, check_strategy, resolve
from lropt_jax.tasks.task import Task
from lropt_jax.training.fitting import as_key
from lropt_jax.training.visits import itinerary


def sweep(
    task: Task | Callable[..., Task],
    optimizer: Callable[..., optax.GradientTransformation],
    space: Space | Sequence[Mapping[str, Any]],
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
    final_splits: Sequence[str] = (),
) -> SweepResult:
    """Trains every configuration of a space on every seed, as one compiled program.

    Each configuration and seed is a lane of a population that trains side by side. A lane that
    diverges is reported, touches nothing else, and leaves its place to one that waits. At a given
    width, strategy and number of devices, a lane's result is the same to the last bit whatever
    trains beside it, in whichever order, and however often the sweep was interrupted.

    Args:
      task: the training problem, or a function of names in the space that returns it.
      optimizer: any function of named numbers that returns an Optax transformation; schedules
        built in it are swept the same way:
        `lambda peak, warm: adamw(warmup(cosine_decay(peak, 900), warm))`.
      space: maps names of the optimizer's (or the task's) arguments to `grid`, `log_grid`,
        `uniform`, `log_uniform`, `choice`, or a fixed value; or a list of configurations. What is
        no number (an optimizer, a model), the task's arguments and "batch_size" are compiled in:
        one program for each combination.
      trials: None for the full grid, in which the last name runs fastest; a number samples so
        many configurations by a scrambled Sobol sequence.
      seeds: how many, or which; every configuration sees the same.
      steps: updates of each training.
      eval_every: updates between evaluations on the validation split; None evaluates at the end.
      key: an int seed or a JAX key; everything random comes from it.
      strategy: "vmap" (a device's lanes at once), "map" (one after another), "map:8" (blocks of
        8), "shared" (as "vmap", a chunk of one seed, whose batches are gathered once for all its
        lanes), or "auto", which tries these briefly and takes the fastest ("shared" with one
        seed only).
      width: lanes of the program; None takes what is useful and fits into the memory. Rounded up
        to a multiple of the devices.
      devices: to spread the lanes over, a sequence or how many; all local ones by default. With
        an executor, how many each worker uses of its own (default 1).
      prune: `successive_halving(...)` or `pbt(...)`: decides who goes on.
      executor: any `concurrent.futures.Executor` (Dask's, submitit's, mpi4py's, a process pool):
        runs each chunk as one task. A lost worker costs the chunk, which runs again.
      directory: where progress is kept. A killed sweep goes on from there when it is called
        again, and loses at most the running segment; a finished one is read back.
      progress: whether to show a live line.
      final_splits: splits to evaluate as a whole after the last update ("train", "test").

    Returns:
      A `SweepResult`.

    Raises:
      ValueError: for arguments that do not fit, before anything is compiled; and for a directory
        that holds another sweep: it says what differs, and leaves the directory untouched.

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
    plan = itinerary(steps, eval_every)
    seeds = checks.check_seeds(seeds)
    width = checks.check_count("width", width)
    check_strategy(strategy)
    checks.check_devices(devices, executor)
    if prune is not None:
        checks.check_rule(prune, plan)
    root = as_key(key)
    words = np.asarray(jax.random.key_data(root))
    configurations = draw(space, trials, words.ravel().tolist())
    checks.check_names(optimizer, task, configurations)
    of_task = [] if isinstance(task, Task) else list(inspect.signature(task).parameters)
    grouped = groups(configurations, static=(*of_task, "batch_size"))
    jobs = []
    for group in grouped:
        job = Job(
            _task_of(task, of_task, group),
            _optimizer_of(optimizer, group),
            group.numbers,
            plan,
            words,
            str(jax.random.key_impl(root)),
            tuple(final_splits),
        )
        checks.check_job(job, [{n: configurations[t][n] for n in job.names} for t in group.trials])
        jobs.append(job)
    named = [checks.metric_names(job) for job in jobs]
    kinds = zip(*named, strict=True)
    metrics, final = (list(dict.fromkeys(itertools.chain(*names))) for names in kinds)
    if prune is not None:
        metric = checks.check_metric(prune.metric, named[0][0])
        prune = dataclasses.replace(prune, metric=metric) if metric != prune.metric else prune  # type: ignore[type-var]
    spread = executor is None and jax.process_count() > 1
    if spread and directory is not None:
        directory = own_directory(directory)
    here = _devices_here(devices, executor, width, max(len(g.trials) for g in grouped) * len(seeds))

    identity = {}
    if directory is not None:
        identity = of_sweep(
            task, optimizer, configurations, seeds, plan, words, prune, final_splits,
            strategy, width, here if executor is None else _count(devices),
        )  # fmt: skip
    with contextlib.ExitStack() as stack:
        store = None
        if directory is not None:
            store = stack.enter_context(contextlib.closing(Store(directory, identity)))
        total = len(configurations) * len(seeds) * plan.steps
        if spread and jax.process_index():
            progress = False
        bar = stack.enter_context(progress_bar(progress, total, "sweep"))
        table = Table(configurations, seeds, plan.evaluations, metrics, final)
        stack.enter_context(_says_how_to_go_on(directory))
        run, resolved = _runner(
            jobs, grouped, table, strategy, width, here, devices, executor, store, bar
        )
        if spread:
            resolved[:] = exchanged(resolved)[0]
            run = AcrossProcesses(run)
        if store is not None:
            store.begin(resolved)
        conductor = Conductor(jobs, grouped, resolved, table, prune, run, bar)
        conductor.conduct()
        result = table.finish(
            strategy=[r.strategy for r in resolved],
            width=[r.width for r in resolved],
            model_steps=conductor.model_steps,
            lineage=conductor.lineage,
        )
        if store is not None:
            store.write_table(*result.table_file())
    return result


def _task_of(task: Task | Callable[..., Task], names: Sequence[str], group: Group) -> Task:
    if not isinstance(task, Task):
        made = task(**{name: group.fixed[name] for name in names if name in group.fixed})
        if not isinstance(made, Task):
            raise ValueError(f"task must return a Task, got {type(made).__name__}")
        return made
    if "batch_size" in group.fixed:
        return dataclasses.replace(task, batch_size=group.fixed["batch_size"])
    return task


def _optimizer_of(
    optimizer: Callable[..., optax.GradientTransformation], group: Group
) -> Callable[..., optax.GradientTransformation]:
    """The optimizer as a function of the group's numbers, which live in its state."""
    parameters = inspect.signature(optimizer).parameters
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    fixed = {k: v for k, v in group.fixed.items() if k in parameters or anything}
    # A schedule is a hyperparameter like a number; another callable is a choice of code.
    code = tuple(k for k, v in fixed.items() if not isinstance(v, Schedule))
    return functools.partial(_tuned, optimizer, code, fixed)


def _tuned(
    optimizer: Callable[..., Any], code: tuple[str, ...], fixed: dict[str, Any], /, **numbers: Any
) -> optax.GradientTransformation:
    # Made anew each time, since what tunable returns cannot be sent to another process.
    return tunable(optimizer, static=code)(**fixed, **numbers)


def _devices_here(devices: Any, executor: Any, width: int | None, lanes: int) -> list[Any]:
    if executor is not None:
        return []
    if devices is None:
        # More devices than lanes would train padding.
        return list(jax.local_devices()[: width or lanes])
    if isinstance(devices, (int, np.integer)):
        found = jax.local_devices()
        if devices > len(found):
            raise ValueError(f"devices={devices}, but there are {len(found)}")
        return list(found[: int(devices)])
    return list(devices)


def _count(devices: Any) -> int:
    return 1 if devices is None else int(devices)


def _runner(
    jobs: Sequence[Job],
    grouped: Sequence[Group],
    table: Table,
    strategy: str,
    width: int | None,
    here: Sequence[Any],
    devices: Any,
    executor: Any,
    store: Store | None,
    bar: Progress,
) -> tuple[RunPieces, list[Resolved]]:
    """What runs the pieces, and how each group runs: as the directory says, or found now."""
    elsewhere = None
    if executor is not None:
        elsewhere = OnExecutor(executor, jobs, _count(devices), store, bar)
    resolved = None if store is None else store.resolved
    if resolved is None:
        resolved = []
        for g, group in enumerate(grouped):
            seeds = len(table.seeds)
            lanes = len(group.trials) * seeds
            numbers = {
                name: np.array([table.trials[t][name] for t in group.trials], float)
                for name in group.numbers
            }
            if elsewhere is not None:
                resolved.append(elsewhere.resolve(g, numbers, lanes, seeds, strategy, width))
            else:
                resolved.append(resolve(jobs[g], numbers, lanes, seeds, strategy, width, here))
    if elsewhere is not None:
        elsewhere.resolved = resolved
        return elsewhere, resolved
    return InProcess(jobs, resolved, here, store, bar), resolved


@contextlib.contextmanager
def _says_how_to_go_on(directory: Any) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if directory is not None:
            interrupt.add_note(f"Saved in {directory}. Call it again to go on from there")
        raise
