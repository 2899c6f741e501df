"""Lanes of a fixed width through the one segment: the unit of execution.

A `Layout` says how they lie on the machine. No lane ever reads another, so one that diverges
leaves its neighbours bit-identical. The compiled programs are kept by what they are made of
(`Fingerprint`), so a second population of the same functions compiles nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from lropt_jax.hyperparameters.access import observe
from lropt_jax.hyperparameters.evaluation import evaluation_params, has_evaluation
from lropt_jax.schedules.fingerprint import Fingerprint, handing
from lropt_jax.tasks.arrays import shape_of
from lropt_jax.tasks.sources import Source
from lropt_jax.tasks.task import Task
from lropt_jax.training.fast_forms import rewrites, value_and_grad, without_gradient
from lropt_jax.training.lanes import BatchOrder, Feed, Fetched, Lane
from lropt_jax.training.layout import Layout
from lropt_jax.training.reading import Reader, evaluated_in_parts, fits
from lropt_jax.training.segment import evaluation, segment
from lropt_jax.training.watching.names import NOTHING, Watched
from lropt_jax.training.watching.observer import Observer

CACHED = 128  # compiled programs that are kept

OptimizerOf = Callable[..., optax.GradientTransformation]


class Placed(NamedTuple):
    """A feed where the lanes are.

    Attributes:
      feed: on the devices.
      examples: those that it speaks of.
    """

    feed: Feed
    examples: Any


class Population:
    """Lanes that share a task and an optimizer.

    Args:
      task: what they train.
      optimizer: `optimizer(**numbers)` makes a lane's transformation. Its numbers live in the
        state, so that the transformation of any lane updates them all.
      numbers: the numbers of some lane.
      layout: how the lanes lie on the machine.
      watched: what is watched of them at each evaluation.
    """

    def __init__(
        self,
        task: Task,
        optimizer: OptimizerOf,
        numbers: dict[str, Any],
        layout: Layout,
        watched: Watched = NOTHING,
    ):
        self.task, self.layout = task, layout
        loss, make = Fingerprint(task.loss), Fingerprint(optimizer)
        # Lanes begin alike by every strategy.
        anyhow = dataclasses.replace(layout, strategy="vmap")
        self._init = _init_program(Fingerprint(task.init), anyhow)
        self._start = _start_program(make, anyhow)
        self._carried = [carried.arrays for carried in make.carried]
        self._fast = rewrites(layout.devices)
        self._run = _run_program(loss, make, _Numbers(numbers), layout, self._fast)
        self._measures = Fingerprint(task.evaluate), Fingerprint(task.summarize or _nothing_more)
        self._evaluate = _evaluate_program(*self._measures, layout, self._fast)
        self._splits: dict[str, _Placed] = {}
        self._reader = Reader(task.train, layout) if isinstance(task.train, Source) else None
        self._observer = None
        if watched.names:
            self._observer = Observer(task, make, _Numbers(numbers), layout, self._fast, watched)

    def start(self, keys: jax.Array, numbers: dict[str, Any]) -> Lane:
        """Lanes before their first update: one key, and one of each number, a lane."""
        keys, numbers = jax.device_put((keys, numbers), self.layout.lanes)
        params, model_state, keys = self._init(keys)
        return self._start(params, model_state, keys, numbers, self._carried)  # type: ignore[no-any-return]

    def fetched(self, feed: Feed) -> Feed | Fetched:
        """The feed; where the training set is a source, with its examples on their way.

        They are read in a thread, each once however many lanes see it.
        """
        return feed if self._reader is None else self._reader.fetched(feed)

    def placed(self, feed: Feed | Fetched) -> Placed:
        """A feed on the devices, with the examples that it speaks of."""
        fetched = self.fetched(feed) if isinstance(feed, Feed) else feed
        if isinstance(fetched, Fetched):
            feed, examples = fetched.feed, fetched.examples.result()
        else:
            feed, examples = fetched, self.split("train")
        if self.layout.shares_batches:
            first = jax.tree.map(lambda x: np.asarray(x)[0], feed)
            return Placed(jax.device_put(first, self.layout.everywhere), examples)
        return Placed(jax.device_put(feed, self.layout.lanes), examples)

    def run(
        self, lanes: Lane, feed: Feed | Fetched | Placed, updates: int | np.ndarray
    ) -> tuple[Lane, dict[str, jax.Array]]:
        """Trains lanes by so many updates. The lanes given are donated: use the new ones.

        Args:
          lanes: the lanes.
          feed: what they are fed.
          updates: one number, or (width,) how many each lane needs. A lane whose neighbours in
            its block need more may make as many as they.
        """
        updates = np.broadcast_to(np.asarray(updates, np.int32), lanes.step.shape)
        feed, examples = feed if isinstance(feed, Placed) else self.placed(feed)
        result: tuple[Lane, dict[str, jax.Array]] = self._run(
            lanes, feed, examples, jax.device_put(updates, self.layout.lanes)
        )
        return result

    def evaluate(
        self, lanes: Lane, split: str, wanted: np.ndarray | bool = True
    ) -> dict[str, jax.Array]:
        """The means of the task's metrics over a split, named `<split>_<metric>`, (width,).

        Args:
          lanes: the lanes.
          split: its name.
          wanted: (width,), the lanes that need it; the values of the others mean nothing.
        """
        rounds = jax.device_put(
            np.broadcast_to(np.asarray(wanted, np.int32), lanes.step.shape), self.layout.lanes
        )
        judged = lanes.opt_state if has_evaluation(lanes.opt_state) else ()
        at = (lanes.params, judged)
        data = getattr(self.task, split)
        if isinstance(data, Source) and not fits(data):
            values = evaluated_in_parts(
                *self._measures, self.layout, self._fast, data, at, lanes.model_state, rounds
            )
        else:
            values = self._evaluate(at, lanes.model_state, self.split(split), rounds)
        return {f"{split}_{name}": value for name, value in values.items()}

    @property
    def needs_before(self) -> bool:
        """Whether what is watched needs the parameters before the last update."""
        return self._observer is not None and self._observer.moves

    def watched(self, lanes: Lane, before: Any, wanted: np.ndarray) -> dict[str, np.ndarray]:
        """What is watched of lanes, by name, (width,); nothing where nobody watches.

        Args:
          lanes: the lanes.
          before: their parameters before the last update, where `needs_before`.
          wanted: (width,), the lanes that are looked at; the values of the others mean nothing.
        """
        if self._observer is None:
            return {}
        data = self.task.train
        if isinstance(data, Source) and "watched" not in self._splits:
            first = data.read(np.arange(self._observer.examples))
            self._splits["watched"] = _placed(first, self.layout)
        shown = self.split("watched" if isinstance(data, Source) else "train")
        return self._observer.look(lanes, before if self.needs_before else (), shown, wanted)

    def finite(self, lanes: Lane) -> jax.Array:
        """Whether all parameters of a lane are finite, (width,)."""
        return _finite_program(self.layout)(lanes.params)  # type: ignore[no-any-return]

    def observe(self, lanes: Lane, values: jax.Array, which: np.ndarray) -> Lane:
        """Shows the schedules of some lanes, (width,), a value each, (width,)."""
        which = jax.device_put(which, self.layout.lanes)
        return _observe_program(self.layout)(lanes, values, which)  # type: ignore[no-any-return]

    def merged(self, which: np.ndarray, lanes: Lane, others: Lane) -> Lane:
        """`lanes` where `which`, (width,), is true, else `others`, which are donated."""
        if which.all():
            return lanes
        which = jax.device_put(which, self.layout.lanes)
        return _merge_program(self.layout)(which, lanes, others)  # type: ignore[no-any-return]

    def split(self, name: str) -> Any:
        """A split of the data, on every device once."""
        if name not in self._splits:
            data = getattr(self.task, name)
            if isinstance(data, Source):
                data = data.read(np.arange(len(data)))
            self._splits[name] = _placed(data, self.layout)
        return self._splits[name].arrays

    def shapes(self, numbers: dict[str, Any], width: int, key_type: str) -> Lane:
        """Shapes and dtypes of so many lanes, with keys for this random generator."""

        def some_keys() -> jax.Array:
            return jax.random.split(jax.random.key(0, impl=key_type), width)

        keys = jax.eval_shape(some_keys)
        params, model_state, keys = jax.eval_shape(self._init, keys)
        like = {k: shape_of((width,), v.dtype) for k, v in numbers.items()}
        lanes: Lane = jax.eval_shape(self._start, params, model_state, keys, like, self._carried)
        return lanes

    def place(self, leaves: Sequence[np.ndarray], numbers: dict[str, Any], key_type: str) -> Lane:
        """Lanes out of their arrays on the host (see `on_host`)."""
        shapes = self.shapes(numbers, len(leaves[0]), key_type)
        like, structure = jax.tree.flatten(shapes)
        arrays = [_like(x, y, key_type) for x, y in zip(leaves, like, strict=True)]
        lanes: Lane = jax.tree.unflatten(structure, jax.device_put(arrays, self.layout.lanes))
        return lanes

    def orders(self, lanes: Lane, known: Sequence[BatchOrder] = ()) -> list[BatchOrder]:
        """The order of batches of each lane; lanes of one seed share it, so it is drawn once.

        Args:
          lanes: the lanes.
          known: orders that need not be made again.
        """
        examples, size = self.task.num_examples["train"], self.task.batch_size
        read = self.task.train.bytes if isinstance(self.task.train, Source) else 0
        orders = {order.words: order for order in known}
        found = []
        for words in np.asarray(jax.random.key_data(lanes.key)):
            name = tuple(words.tolist())
            if name not in orders:
                orders[name] = BatchOrder(words, examples, size, read)
            found.append(orders[name])
        return found


def _nothing_more(means: dict[str, Any]) -> dict[str, Any]:
    return {}


def is_key(x: Any) -> bool:
    """Whether an array, or its shape, is one of typed random keys."""
    return bool(jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key))


def on_host(lanes: Lane) -> list[np.ndarray]:
    """The arrays of lanes, each (width, ...), on the host; random keys as their words.

    Also those that an optimizer has, as `optax.noisy_sgd` does.
    """
    plain = [jax.random.key_data(x) if is_key(x) else x for x in jax.tree.leaves(lanes)]
    return [np.asarray(x) for x in jax.device_get(plain)]


def _like(array: np.ndarray, shape: Any, key_type: str) -> Any:
    """An array from the host with a leaf's dtype, which a file may have forgotten."""
    if is_key(shape):
        return jax.random.wrap_key_data(jax.numpy.asarray(array), impl=key_type)
    return array if array.dtype == shape.dtype else array.view(shape.dtype)


class _Placed:
    """Data on the devices, with the data on the host that it came from."""

    def __init__(self, data: Any, layout: Layout):
        self.data, self.arrays = data, jax.device_put(data, layout.everywhere)


# By the identity of the host's arrays, which live as long as the entry: data lies on the devices
# once, however many populations use it.
_PLACED: weakref.WeakValueDictionary[Any, _Placed] = weakref.WeakValueDictionary()


def _placed(data: Any, layout: Layout) -> _Placed:
    leaves, structure = jax.tree.flatten(data)
    x64 = jax.config.jax_enable_x64  # type: ignore[attr-defined]
    identity = (structure, tuple(map(id, leaves)), layout.devices, x64)
    placed = _PLACED.get(identity)
    if placed is None:
        placed = _PLACED[identity] = _Placed(data, layout)
    return placed


class _Numbers(dict[str, Any]):
    """Some lane's numbers. Equal whatever they are: a program depends on their names alone."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Numbers) and set(self) == set(other)

    def __ne__(self, other: object) -> bool:
        return not self == other


@functools.lru_cache(CACHED)
def _init_program(init: Fingerprint[Any], layout: Layout) -> Any:
    def lane(key: jax.Array) -> Any:
        init_key, lane_key = jax.random.split(key)
        return *init.function(init_key), lane_key

    return layout.compiled(layout.each_lane(lane), (True,), once=True)


@functools.lru_cache(CACHED)
def _start_program(optimizer: Fingerprint[OptimizerOf], layout: Layout) -> Any:
    def lane(params: Any, model_state: Any, key: Any, numbers: dict[str, Any]) -> Lane:
        opt_state = optimizer.function(**numbers).init(params)
        return Lane(params, model_state, opt_state, key, jax.numpy.zeros((), jax.numpy.int32))

    def lanes(params: Any, model_state: Any, keys: Any, numbers: Any, carried: Any) -> Lane:
        with handing(optimizer.carried, carried):
            begun: Lane = layout.each_lane(lane)(params, model_state, keys, numbers)
        return begun

    axes = (True, True, True, True, False)
    return layout.compiled(lanes, axes, donate=(0, 1, 2), once=True)


@functools.lru_cache(CACHED)
def _run_program(
    loss: Fingerprint[Any],
    optimizer: Fingerprint[OptimizerOf],
    numbers: _Numbers,
    layout: Layout,
    fast: bool,
) -> Any:
    axes = (True, not layout.shares_batches, False, True)
    plain = functools.partial(jax.value_and_grad, has_aux=True)
    gradient = (value_and_grad if fast else plain)(loss.function)
    train = segment(gradient, optimizer.function(**numbers))
    return layout.compiled(layout.over_lanes(train, axes), axes, donate=(0,))


@functools.lru_cache(CACHED)
def _evaluate_program(
    evaluate: Fingerprint[Any], summarize: Fingerprint[Any], layout: Layout, fast: bool
) -> Any:
    axes = (True, True, False, True)
    each = without_gradient(evaluate.function) if fast else evaluate.function
    run = evaluation(each, summarize.function)

    def lane(at: tuple[Any, Any], model_state: Any, split: Any) -> dict[str, jax.Array]:
        params, opt_state = at
        return run(evaluation_params(opt_state, params), model_state, split)

    return layout.compiled(layout.over_lanes(layout.resting(lane), axes), axes)


@functools.lru_cache(CACHED)
def _finite_program(layout: Layout) -> Any:
    def lane(params: Any) -> jax.Array:
        numbers = [x for x in jax.tree.leaves(params) if jax.numpy.issubdtype(x.dtype, np.inexact)]
        finite = [jax.numpy.isfinite(x).all() for x in numbers]
        return functools.reduce(jax.numpy.logical_and, finite, jax.numpy.array(True))

    return layout.compiled(jax.vmap(lane), (True,))


@functools.lru_cache(CACHED)
def _observe_program(layout: Layout) -> Any:
    def lane(lane: Lane, value: jax.Array, shown: jax.Array) -> Lane:
        new = observe(lane.opt_state, value)
        return lane._replace(opt_state=_chosen(shown, new, lane.opt_state))

    return layout.compiled(jax.vmap(lane), (True, True, True), donate=(0,))


@functools.lru_cache(CACHED)
def _merge_program(layout: Layout) -> Any:
    return layout.compiled(jax.vmap(_chosen), (True, True, True), donate=(2,))


def _chosen(first: jax.Array, one: Any, other: Any) -> Any:
    """One of two trees, to the bit."""
    return jax.tree.map(lambda x, y: jax.numpy.where(first, x, y), one, other)
