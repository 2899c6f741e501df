"""From a plain factory to an optimizer: its numbers data, its decays those that all share."""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable
from typing import Any, ParamSpec

import optax

from lropt_jax.hyperparameters.building import owned_outside, tunable
from lropt_jax.optimizers.descent import Decays
from lropt_jax.optimizers.masks import check_mask
from lropt_jax.schedules.arguments import allowed_arguments, bound_arguments
from lropt_jax.validation import requirements, requires

P = ParamSpec("P")

# In every docstring, but for the arguments that it describes itself.
_SHARED = {
    "l2": "coupled decay, added to the gradient (PyTorch's `weight_decay`), or None.",
    "weight_decay": "decoupled decay, times the learning rate, or None.",
    "mask": 'which leaves decay, for both: a pytree of bools, a callable or "no_bias_norm".',
    "independent_decay": "whether decoupled decay is not multiplied by the learning rate.",
}
_NOTE = """
All numbers live in the state that `init` returns, and an update uses those: read them with
`hyperparams`, set them with `set_hyperparams`. A transformation built again with other numbers
does not change a state that exists. With a decay, `update` needs the parameters: it raises
`ValueError` without them.
"""


def optimizer(
    **defaults: Any,
) -> Callable[
    [Callable[P, optax.GradientTransformation]],
    Callable[P, optax.GradientTransformationExtraArgs],
]:
    """Makes a factory that takes `**decays: Unpack[Decays]` an optimizer.

    Its signature and its docstring name the decays, and its numbers are data (`tunable`), each
    what its annotation allows.

    Args:
      **defaults: of the decays, where they are not those of `descend`.
    """

    def decorate(
        factory: Callable[P, optax.GradientTransformation],
    ) -> Callable[P, optax.GradientTransformationExtraArgs]:
        factory.__signature__ = _signature(factory, defaults)  # type: ignore[attr-defined]
        factory.__doc__ = _documented(factory.__doc__)
        return tunable(requires(check_mask)(factory))

    return decorate


def direction(
    factory: Callable[P, optax.GradientTransformation],
) -> Callable[P, optax.GradientTransformation]:
    """Makes a `scale_by_...` refuse, when it is called, what its annotations do not allow.

    Its numbers stay in its code. Where another factory owns them they are that one's to check.
    """
    signature = inspect.signature(factory)
    allowed = allowed_arguments(factory, list(signature.parameters.values()))

    @functools.wraps(factory)
    def build(*args: P.args, **kwargs: P.kwargs) -> optax.GradientTransformation:
        if not owned_outside():
            arguments = bound_arguments(factory.__name__, signature, args, kwargs)
            for name, value in arguments.items():
                if allowed[name].kind != "any":
                    allowed[name].accept(name, value)
            for check in (check_mask, *requirements(factory)):
                check(**arguments)
        return factory(*args, **kwargs)

    return build


def _signature(factory: Callable[..., Any], defaults: dict[str, Any]) -> inspect.Signature:
    signature = inspect.signature(factory)
    *own, decays = signature.parameters.values()
    (shared,) = typing.get_args(typing.get_type_hints(factory)[decays.name])
    usual = {"l2": None, "weight_decay": None, "mask": None, "independent_decay": False}
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default={**usual, **defaults}[name],
            annotation=Decays.__annotations__[name].__forward_arg__,
        )
        for name in typing.get_type_hints(shared)
    ]
    return signature.replace(parameters=[*own, *added])


def _documented(doc: str | None) -> str | None:
    """The docstring with the shared arguments, and where the numbers live, after its own."""
    if doc is None:  # python -OO
        return None
    text = inspect.cleandoc(doc)
    own = set(re.findall(r"^  (\w+): ", text, flags=re.MULTILINE))
    lines = [f"  {name}: {what}" for name, what in _SHARED.items() if name not in own]
    text = re.sub("^When to use:$", f"{_NOTE.strip()}\n\n\\g<0>", text, flags=re.MULTILINE)
    before, arguments, after = re.split(r"^(Args:\n(?:  .*\n)+)", text, flags=re.MULTILINE)
    return f"{before}{arguments}" + "\n".join(lines) + f"\n{after}"
