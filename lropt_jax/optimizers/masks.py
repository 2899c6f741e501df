"""Which parameters decay."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

# The names that libraries give to shifts and scales.
SHIFTS_AND_SCALES = {"bias", "b", "scale", "offset", "beta", "gamma"}


def no_bias_norm(params: Any) -> Any:
    """A mask for weight decay that leaves out biases and normalisations, as is usual.

    A leaf decays unless it has fewer than two axes, its own name is that of a shift or a scale
    ("bias", "scale", "beta", ...), or a module above it has "norm" in its name. Decay on these
    shrinks what sets the scale of the activations; the usual recipes for transformers and
    ResNets (He et al. 2018, arXiv:1812.01187, section 3.1) leave them out. Embeddings decay.

    Our optimizers also take its name, `mask="no_bias_norm"`; as a function it goes into any mask
    of Optax.

    Args:
      params: a pytree of arrays, or of their shapes; names are those of its dicts, attributes and
        modules.

    Returns:
      A pytree of bools of the same structure.

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
    return jax.tree_util.tree_map_with_path(_decays, params)


def _decays(path: Any, leaf: Any) -> bool:
    names = [jax.tree_util.keystr((part,), simple=True).lower() for part in path]
    shift_or_scale = bool(names) and names[-1] in SHIFTS_AND_SCALES
    return np.ndim(leaf) >= 2 and not shift_or_scale and not any("norm" in n for n in names)


NAMED = {"no_bias_norm": no_bias_norm}
