"""Rates that fall from layer to layer, towards the input."""

from __future__ import annotations

import contextvars
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import optax

from lropt_jax.hyperparameters.building import tunable
from lropt_jax.hyperparameters.updating import where_updated
from lropt_jax.validation import is_number, names, positive


def by_layer(
    optimizer: Callable[..., optax.GradientTransformation],
    learning_rate: Any,
    decay: Any = 0.9,
    order: Sequence[str] | None = None,
    **numbers: Any,
) -> optax.GradientTransformationExtraArgs:
    r"""One optimizer with a rate of its own for each layer, falling towards the input.

    .. math::
        \eta_l = \eta\, d^{\,L - l}, \qquad l = 1, \dots, L

    Discriminative, or layer-wise decayed, rates: for fine-tuning, where the layers near the input
    hold what is general. Each layer is a parameter group of its own (`optax.partition`), so that
    this is exact for every optimizer; the norms of `lamb` and the switch of `swats` are then a
    layer's. The rate, the decay and the optimizer's other numbers are data in one state.

    When to use:
      Fine-tuning: the layers near the input, which know most, move least. Start with a decay
      of 0.8 to 0.9 a layer. Not for training from scratch.

    Args:
      optimizer: a factory with an argument `learning_rate`, one of ours or of Optax's.
      learning_rate: $\eta$, that of the last layer: a number or a schedule.
      decay: $d$, from a layer to the one before it. 1 is none; for BERT-like models 0.65 to 0.95.
      order: the layers from input to output, each by a part of the paths of its parameters
        ("embed", "encoder/block_0"); of several that fit, the first holds. None takes the
        outermost names of the parameters, a number in them as a number ("Dense_2" before
        "Dense_10").
      **numbers: the optimizer's other arguments.

    Raises:
      ValueError: for a number out of its range, an `order` that names a layer twice, or (from
        `init`) for a parameter that is in no layer of `order`.
      TypeError: for an optimizer that is no factory, a transformation that was made for example.

    Reference:
      Howard and Ruder 2018, Universal language model fine-tuning, arXiv:1801.06146; Clark et al.
      2020, ELECTRA, arXiv:2003.10555.

    See also:
      `no_bias_norm`, `adamw`, `optax.partition` for groups of your own.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import by_layer, hyperparams, sgd
      >>> params = {"embed": jnp.ones(()), "block": jnp.ones(()), "head": jnp.ones(())}
      >>> tx = by_layer(sgd, 1.0, decay=0.5, order=["embed", "block", "head"])
      >>> state = tx.init(params)
      >>> updates, state = tx.update(params, state, params)
      >>> [float(updates[name]) for name in ("embed", "block", "head")]
      [-0.25, -0.5, -1.0]
      >>> sorted(hyperparams(state))
      ['dampening', 'decay', 'learning_rate']
    """
    if not callable(optimizer):
        raise TypeError(f"by_layer: optimizer must be a factory like adamw, got {optimizer!r}")
    parameters = dict(inspect.signature(optimizer).parameters)
    order = None if order is None else _ordered(order)
    name = getattr(optimizer, "__name__", "optimizer")
    if "learning_rate" not in parameters or "decay" in parameters:
        raise ValueError(
            f"by_layer: {name} must have an argument learning_rate, and none called decay, which "
            "is the layers': wrap it, lambda learning_rate: rmsprop(learning_rate, decay=0.9)"
        )
    if not (is_number(decay) or callable(decay)):
        raise TypeError(f"by_layer: decay must be a number or a schedule, got {decay!r}")

    def layered(decay: Any, learning_rate: Any, **others: Any) -> Any:
        positive.check("by_layer: decay", decay)
        optimizer(learning_rate=learning_rate, **others)  # refuses a number at once
        # In this context the optimizer is plain: the numbers are those of the whole.
        context = contextvars.copy_context()

        def parts(tree: Any) -> optax.GradientTransformationExtraArgs:
            layers, labels = layers_of(tree, order)
            rates = [learning_rate * decay ** (len(layers) - 1 - i) for i in range(len(layers))]

            def made() -> dict[str, Any]:
                of = zip(layers, rates, strict=True)
                return {layer: optimizer(learning_rate=rate, **others) for layer, rate in of}

            # A function: labels in an Equinox module are one that Optax would call.
            return optax.partition(context.copy().run(made), lambda _: labels)

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
            params = where_updated(params, updates)
            return parts(updates).update(updates, state, params, **extra)

        return optax.GradientTransformationExtraArgs(lambda p: parts(p).init(p), update)

    keywords = {
        k: p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for k, p in parameters.items()
        if p.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    }
    own = inspect.Parameter("decay", inspect.Parameter.KEYWORD_ONLY, default=0.9)
    others = [p for p in parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD]
    layered.__signature__ = inspect.Signature([*keywords.values(), own, *others])  # type: ignore[attr-defined]
    layered.__name__ = f"by_layer_{name}"
    factory: Callable[..., optax.GradientTransformationExtraArgs] = tunable(layered)
    return factory(learning_rate=learning_rate, decay=decay, **numbers)


def _ordered(order: Any) -> tuple[str, ...]:
    """The layers, each named once: a rate falls from each of them to the one before."""
    layers = tuple(map(str, names(order))) if isinstance(order, Iterable) else ()
    if not layers or len(set(layers)) < len(layers):
        raise ValueError(
            f"by_layer: order must be the layers' names from input to output, each once, got "
            f"{order!r}"
        )
    return layers


def layers_of(tree: Any, order: Sequence[str] | None) -> tuple[list[str], Any]:
    """The layers' names from input to output, and for each leaf that of its layer.

    Args:
      tree: the parameters, or what has their structure.
      order: as in `by_layer`.

    Raises:
      ValueError: for a leaf that is in no layer of `order`.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    paths = ["/".join(str(_key(k)) for k in path) for path, _ in leaves]
    if order is None:
        outermost = [path.split("/", 1)[0] for path in paths]
        layers = sorted(dict.fromkeys(outermost), key=_naturally)
        return layers, jax.tree.unflatten(structure, outermost)
    layers, labels = list(order), []
    for path in paths:
        fitting = [layer for layer in layers if f"/{layer}/" in f"/{path}/"]
        if not fitting:
            raise ValueError(
                f"by_layer: order must name the layer of every parameter, but {path!r} is in none "
                f"of {', '.join(layers)}"
            )
        labels.append(fitting[0])
    return layers, jax.tree.unflatten(structure, labels)


def _key(entry: Any) -> Any:
    for attribute in ("key", "name", "idx"):
        if hasattr(entry, attribute):
            return getattr(entry, attribute)
    return entry


def _naturally(name: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
