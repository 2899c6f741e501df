"""Which parameters decay."""

from __future__ import annotations

import functools
import re
from typing import Any

import jax
import numpy as np

from lropt_jax.optimizers.paths import names_of
from lropt_jax.validation import unknown

# The names that libraries give to shifts and scales, and for short to what normalises.
SHIFTS_AND_SCALES = {"bias", "scale", "offset", "beta", "gamma"}
NORMS = {"ln", "bn", "gn"}


def no_bias_norm(params: Any) -> Any:
    """A mask for weight decay that leaves out biases and normalisations, as is usual.

    A leaf decays unless it has fewer than two axes, its own name is that of a shift or a scale
    ("bias", "q_bias", "scale", "beta", ...), or the module that it is of is called a norm
    ("LayerNorm_0", "norm1", "ln_f", "bn2"). Decay on these shrinks what sets the scale of the
    activations; the usual recipes for transformers and ResNets (He et al. 2018,
    arXiv:1812.01187, section 3.1) leave them out. Embeddings decay.

    Our optimizers also take its name, `mask="no_bias_norm"`; as a function it goes into any mask
    of Optax.

    When to use:
      As the mask of every decay on a net with biases or normalization. It goes by names and
      axes: with unusual names, look at what it returns once.

    Args:
      params: a pytree of arrays, or of their shapes; names are those of its dicts, attributes and
        modules.

    Returns:
      A pytree of bools of the same structure.

    See also:
      `adamw`, `by_layer`.

    Example:
      >>> import jax, optax
      >>> from lropt_jax import adamw, mlp, no_bias_norm
      >>> model = mlp((8, 2), batch_norm=True)
      >>> params = model.init(jax.random.key(0), jax.numpy.ones((1, 3)))["params"]
      >>> no_bias_norm(params)["Dense_0"]
      {'bias': False, 'kernel': True}
      >>> no_bias_norm(params)["BatchNorm_0"]
      {'bias': False, 'scale': False}
      >>> ours = adamw(1e-3, weight_decay=0.1, mask="no_bias_norm")
      >>> theirs = optax.adamw(1e-3, weight_decay=0.1, mask=no_bias_norm)
      >>> _ = ours.init(params), theirs.init(params)
    """
    paths = jax.tree_util.tree_leaves_with_path(params)
    named = {"/".join(["", *_names(path)]) for path, _ in paths}
    return jax.tree_util.tree_map_with_path(functools.partial(_decays, named), params)


def _decays(named: set[str], path: Any, leaf: Any) -> bool:
    *above, name = ["", *_names(path)]
    if np.ndim(leaf) < 2 or name in SHIFTS_AND_SCALES or "bias" in _words(name):
        return False
    if name == "b":  # of Haiku a bias, which stands beside "w"; of LoRA a matrix
        return "/".join([*above, "w"]) not in named
    # The module of the leaf itself: a block called PreNorm holds matrices further down.
    module = above[-1] if above else ""
    return "norm" not in module and not _words(module) & NORMS


def _names(path: Any) -> list[str]:
    """The names on the way to a leaf; flat names of PyTorch, "layers.0.norm1.weight", divided."""
    text = "/".join(names_of(path)).lower()
    return re.split(r"[./]", text) if text else []


def _words(name: str) -> set[str]:
    return set(re.findall("[a-z]+", name))


NAMED = {"no_bias_norm": no_bias_norm}


def check_mask(mask: Any = None, **_: Any) -> None:
    """Raises `ValueError` for a name that no mask has; the others are seen with the parameters."""
    if isinstance(mask, str) and mask not in NAMED:
        raise ValueError(
            f"mask must be a pytree of bools or a name: {unknown('mask', mask, NAMED)}"
        )
