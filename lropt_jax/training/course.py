"""The course of one training: checked, begun or taken up again, shown at each evaluation."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.hyperparameters.updating import check_update
from lropt_jax.progress import several
from lropt_jax.tasks.arrays import shapes
from lropt_jax.tasks.task import Task, check_task
from lropt_jax.training.checkpoints import Checkpoints
from lropt_jax.training.digests import code_of, digest
from lropt_jax.training.feedback import check_observed
from lropt_jax.training.layout import Layout
from lropt_jax.training.moments import Moment, numbers_of
from lropt_jax.training.population import Population
from lropt_jax.training.run import Run
from lropt_jax.training.visits import Itinerary, itinerary
from lropt_jax.training.watching.names import Watched, is_detail
from lropt_jax.training.watching.observer import check_watched
from lropt_jax.validation import check_transformation, is_scalar, whole_number

ASSIGNED = ("params", "model_state", "opt_state")  # of a moment, by a loop


@dataclasses.dataclass
class Course:
    """A training of one model on its way.

    Attributes:
      task: what is trained.
      plan: when the host visits.
      observed: the metric that schedules are shown, or None for the usual one.
      run: the lane on its way.
      layout: where it lies.
      history: each name's values at the evaluations so far.
      checkpoints: where it is kept, or None.
      restored: the evaluation that it goes on from, or None.
      best: the best evaluation before, as far as one was kept.
      judged_since: the update after which the evaluations in the history are of this task.
    """

    task: Task
    plan: Itinerary
    observed: str | None
    run: Run
    layout: Layout
    history: dict[str, np.ndarray]
    checkpoints: Checkpoints | None = None
    restored: Moment | None = None
    best: Moment | None = None
    judged_since: int = 0

    @classmethod
    def begin(
        cls, task: Task, tx: Any, steps: Any, key: Any, eval_every: Any, accumulate: Any,
        observed: str | None, start: Moment | None, epochs: Any, directory: Any,
        watched: Watched,
    ) -> Course:  # fmt: skip
        """Checks everything, and makes the lane ready."""
        if not isinstance(task, Task):
            raise TypeError(f"task must be a Task (classification_task(model, data)), got {task!r}")
        if not isinstance(start, (Moment, type(None))):
            raise TypeError(f"start must be a Fit or a Moment to go on from, got {start!r}")
        check_transformation("tx", tx)
        if is_scalar(accumulate):
            accumulate = whole_number("accumulate", accumulate)
        plan = _plan(task, steps, epochs, eval_every, accumulate)
        if start is not None and not 0 < start.step < plan.steps:
            raise ValueError(
                f"steps={plan.steps} are those of the whole training: they must be more than the "
                f"{start.step} that start has taken"
            )
        check_task(task)
        params, _ = jax.eval_shape(task.init, jax.random.key(0))
        state = jax.eval_shape(tx.init, params)
        check_update("tx", tx, state, params)
        check_watched(task, lambda: tx, {}, watched)
        check_observed(task, state, observed, eval_every, watched)
        layout = Layout("vmap", tuple(jax.local_devices()[:1]))
        population = Population(task, lambda: tx, {}, layout, watched)
        root = as_key(key)
        lanes = population.start(root[None], {})
        run, nothing = Run.begin(population, lanes), {"step": np.zeros(0, int)}
        training = cls(task, plan, observed, run, layout, nothing)
        if start is not None and start.task is task:  # and so judged on the same data
            training.best = start
        elif start is not None:
            training.judged_since = start.step
        if directory is not None:
            identity = _identity(root, plan, task, tx, accumulate, start)
            training.checkpoints = Checkpoints(directory, identity)
            like = jax.tree.map(lambda x: x[0], lanes)
            held = training.checkpoints.load("last", like)
            if held is not None:
                start = training.restored = Moment(**held, task=task)
                if start.step > plan.steps:
                    raise ValueError(
                        f"directory {training.checkpoints.path} holds a training that has taken "
                        f"{several(start.step, 'update')}, more than steps={plan.steps}: choose "
                        "another one"
                    )
                best = training.checkpoints.load("best", like)
                if best is not None:
                    training.best = Moment(**best, task=task)
        if start is not None:
            training._go_on(start)
        return training

    def _go_on(self, start: Moment) -> None:
        lanes = jax.device_put(_widened(start.lane), self.layout.lanes)
        before = jax.tree.structure(self.run.lanes)
        if jax.tree.structure(lanes) != before:  # type: ignore[operator]
            raise ValueError(
                "start was trained by another model or optimizer: its state has another structure"
            )
        pairs = zip(jax.tree.leaves(lanes), jax.tree.leaves(self.run.lanes), strict=True)
        if any(ours.shape != theirs.shape for ours, theirs in pairs):
            raise ValueError(
                "start was trained by a model of other shapes than this task's: its arrays are of "
                "other sizes"
            )
        self.run = Run.begin(self.run.population, lanes, start.step)
        count = int((start.history["step"] <= start.step).sum())
        self.history = {name: values[:count] for name, values in start.history.items()}

    def moments(self, advance: Callable[[int], None] = lambda updates: None) -> Iterator[Moment]:
        """Trains on, an evaluation at a time.

        The one that a kept training goes on from comes again: what was done at it (a rate that was
        set) may have been lost.
        """
        done = int(self.run.step[0])
        said = False
        if self.restored is not None:
            advance(self.restored.step)
            yield from self._shown(self.restored)
        for stop in self.plan.evaluations:
            if stop <= done:
                continue
            _, metrics = self.run.visit(self.plan, lambda n, _: advance(n), self.observed)
            moment = self._moment(stop, {k: float(v[0]) for k, v in metrics.items()})
            diverged = int(self.run.diverged_at[0])
            if diverged >= 0 and not said:
                said = True
                warnings.warn(
                    f"the training is not finite from update {diverged + 1} on: its metrics are "
                    "NaN from there",
                    RuntimeWarning,
                    stacklevel=3,
                )
            if self.checkpoints is not None:
                self.checkpoints.save("last", moment)
            yield from self._shown(moment)

    def _shown(self, moment: Moment) -> Iterator[Moment]:
        """Hands a moment out, and takes over what was assigned to it."""
        handed = {name: jax.tree.flatten(getattr(moment, name)) for name in ASSIGNED}
        yield moment
        for name, (leaves, structure) in handed.items():
            new = getattr(moment, name)
            now, its = jax.tree.flatten(new)
            alike = its == structure  # type: ignore[operator]
            if alike and all(x is y for x, y in zip(leaves, now, strict=True)):
                continue
            self._check_assigned(name, jax.tree.unflatten(structure, leaves), new)
            lanes = self.run.lanes._replace(**{name: _widened(new)})
            self.run.lanes = jax.device_put(lanes, self.layout.lanes)
            if name == "params":  # which may have diverged before
                self.run.diverged_at = np.full_like(self.run.diverged_at, -1)

    def _check_assigned(self, name: str, old: Any, new: Any) -> None:
        """Raises `ValueError` for what the training cannot go on with."""
        if _form(new) == _form(old):
            return
        if name != "opt_state":
            raise ValueError(
                f"moment.{name} must keep its structure, shapes and dtypes: it was {shapes(old)}, "
                f"and is {shapes(new)} now"
            )
        if self.checkpoints is not None:
            raise ValueError(
                "moment.opt_state must keep its structure where a training is kept (directory=), "
                "or it could not be read back: begin with a schedule whose numbers are then set, "
                "not with a number in whose place a schedule is set"
            )

    def _moment(self, step: int, metrics: dict[str, float]) -> Moment:
        lane = _alone(self.run.lanes)
        now = {"step": step, **metrics, **numbers_of(lane.opt_state)}
        # What was not watched before, or is not any more, is NaN there.
        unseen = np.full(len(self.history["step"]), np.nan)
        self.history = {
            name: np.append(self.history.get(name, unseen), now.get(name, np.nan))
            for name in {**self.history, **now}
        }
        shown = {name: value for name, value in metrics.items() if not is_detail(name)}
        own = {name: values.copy() for name, values in self.history.items()}
        return Moment(
            step, shown, lane.params, lane.model_state, lane.opt_state, own, lane.key, self.task
        )

    def keep_best(self, moment: Moment) -> None:
        """Keeps the best evaluation on the disk, where the training is kept."""
        if self.checkpoints is not None:
            self.checkpoints.save("best", moment)


def _plan(task: Task, steps: Any, epochs: Any, eval_every: Any, accumulate: Any) -> Itinerary:
    if (steps is None) == (epochs is None):
        raise ValueError(f"give steps or epochs, got steps={steps!r} and epochs={epochs!r}")
    per_epoch = task.steps_per_epoch
    if epochs is not None:
        batches = whole_number("epochs", epochs) * per_epoch
        starts = itinerary(batches, None, accumulate).microbatches
        steps = batches if starts is None else int(np.searchsorted(starts, batches))
    if isinstance(eval_every, str):
        if eval_every != "epoch" or not (accumulate is None or isinstance(accumulate, int)):
            raise ValueError(
                'eval_every must be a whole number, or "epoch" (with a fixed number of '
                f"microbatches), got {eval_every!r}"
            )
        eval_every = max(1, per_epoch // (accumulate or 1))
    return itinerary(steps, eval_every, accumulate)


def _identity(
    key: jax.Array, plan: Itinerary, task: Task, tx: Any, accumulate: Any, start: Moment | None
) -> dict[str, str]:
    """What a kept training depends on, in words; it may only grow longer."""
    given = isinstance(accumulate, (int, type(None)))
    return {
        "key": str(np.asarray(jax.random.key_data(key)).tolist()),
        "eval_every": str(plan.eval_every),
        "accumulate": str(accumulate or 1) if given else digest(accumulate),
        "start": "nothing" if start is None else _start_in_words(start),
        "data": digest(task.splits),
        "batch_size": str(task.batch_size),
        "task": code_of(task),
        "optimizer": digest(tx),
    }


def _start_in_words(start: Moment) -> str:
    return f"{start.step} updates, {digest(jax.tree.leaves(start.lane))}"


def _form(tree: Any) -> Any:
    """Structure, shapes and dtypes, as JAX takes them."""
    abstract = jax.eval_shape(lambda tree: tree, tree)
    return jax.tree.structure(tree), [(x.shape, x.dtype) for x in jax.tree.leaves(abstract)]


@jax.jit
def _alone(lanes: Any) -> Any:
    """The one lane of a population, in arrays of its own."""
    return jax.tree.map(lambda x: x[0], lanes)


@jax.jit
def _widened(lane: Any) -> Any:
    return jax.tree.map(lambda x: jnp.asarray(x)[None], lane)


def as_key(key: Any) -> jax.Array:
    """An int seed, a typed key or a raw one as a typed key."""
    if isinstance(key, (int, np.integer)):
        # What JAX takes; of a longer one it would drop the upper bits.
        x64 = jax.config.jax_enable_x64  # type: ignore[attr-defined]
        low, high = (-(2**63), 2**63) if x64 else (-(2**31), 2**32)
        if not low <= key < high:
            raise ValueError(f"key must be a whole number in [{low}, {high}), got {key!r}")
        return jax.random.key(int(key))
    try:
        array: jax.Array = jnp.asarray(key)
        typed = jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
        found = array if typed else jax.random.wrap_key_data(array)
    except (TypeError, ValueError):
        found = None
    if found is None or found.ndim:
        raise ValueError(f"key must be a whole number or one JAX key, got {key!r}")
    return found
