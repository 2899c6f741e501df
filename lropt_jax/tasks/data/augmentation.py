"""What training images go through: standardized channels; shifted and mirrored at random."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.tasks.data.splitting import Dataset

SHIFT = 4  # pixels, of images of 32 (He et al. 2015, arXiv:1512.03385, section 4.2)


def standardized(data: Dataset) -> Dataset:
    """The same images with mean 0 and deviation 1 in each channel of the training split."""
    x = data.train["x"]
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes, dtype=np.float64).astype(np.float32)
    deviation = x.std(axes, dtype=np.float64).astype(np.float32)
    scale = np.where(deviation > 0, deviation, 1)
    return Dataset(*({**split, "x": (split["x"] - mean) / scale} for split in data))


def crop_and_flip(batch: dict[str, Any], key: jax.Array) -> dict[str, Any]:
    """Each image shifted by up to 4 pixels, zeros coming in at the edge, and mirrored half of the
    time: the usual augmentation of CIFAR-10.

    Args:
      batch: "x" of shape (batch, height, width, channels), and what else it holds.
      key: of the drawing.
    """
    x = batch["x"]
    shifts, sides = jax.random.split(key)
    corners = jax.random.randint(shifts, (len(x), 2), 0, 2 * SHIFT + 1)
    mirrored = jax.random.bernoulli(sides, 0.5, (len(x), 1, 1, 1))
    padded = jnp.pad(x, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))

    def cropped(image: jax.Array, corner: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), x.shape[1:])

    x = jax.vmap(cropped)(padded, corners)
    return {**batch, "x": jnp.where(mirrored, x[:, :, ::-1], x)}
