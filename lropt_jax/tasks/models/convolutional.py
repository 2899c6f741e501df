"""Plain convolutional networks: a small one for MNIST and VGG-11."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from lropt_jax.tasks.models.layers import Dropout, as_images, check_counts, check_dropout, dense


def cnn(classes: int = 10, dropout: float = 0.25, width: int = 32) -> nn.Module:
    """The two-convolution net of many an MNIST tutorial, 431,242 parameters at 28 x 28.

    Convolution 32 of 3 x 3, max-pool 2, dropout; convolution 64 of 3 x 3, max-pool 2, dropout;
    dense 256; dense `classes`; all but the last with ReLU. Convolutions are not padded. Kernels
    start Glorot-uniform, biases at 0, as in Keras. `width=8` makes it a quarter as wide: 8, 16
    and 64.

    When to use:
      For MNIST and the like. On a CPU a step takes tens of milliseconds: take a smaller
      `width`, or `mlp`, for first tries.

    Args:
      classes: the number of classes.
      dropout: the probability that a unit is dropped after each pooling, in [0, 1), rounded to
        a multiple of 1/256.
      width: channels of the first convolution; the second has twice, the dense layer eight times
        as many. 32 is the tutorials'.

    Returns:
      A module for images of shape (batch, height, width, channels), at least 10 x 10; flat
      square ones are taken too.

    Raises:
      ValueError: for an argument out of range.

    See also:
      `mlp`, `vgg11`, `resnet18`.

    Example:
      >>> import jax
      >>> from lropt_jax.tasks.models import cnn
      >>> model, images = cnn(), jax.numpy.zeros((2, 28, 28, 1))
      >>> logits, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
      >>> logits.shape
      (2, 10)
    """
    check_counts(classes=classes, width=width)
    check_dropout(dropout)
    return CNN(classes, dropout, width)


class CNN(nn.Module):
    """The module of `cnn`, which says what the fields mean."""

    classes: int
    dropout: float
    width: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits of shape (batch, classes)."""
        init = nn.initializers.glorot_uniform()
        x = as_images(x, smallest=10)
        for width in (self.width, 2 * self.width):
            x = nn.relu(nn.Conv(width, (3, 3), padding="VALID", kernel_init=init)(x))
            pooled = nn.max_pool(x, (2, 2), (2, 2))  # type: ignore[no-untyped-call]
            x = Dropout(self.dropout)(pooled, train)
        x = x.reshape(len(x), -1)
        x = nn.relu(dense(8 * self.width, kernel_init=init)(x))
        return dense(self.classes, kernel_init=init)(x)


def vgg11(
    classes: int = 10,
    width: int = 64,
    dropout: float = 0.0,
    batch_norm: bool = True,
) -> nn.Module:
    """VGG-11 (Simonyan and Zisserman 2014, arXiv:1409.1556) in its CIFAR form.

    Eight convolutions of 3 x 3 of widths 1, 2, 4, 4, 8, 8, 8, 8 times `width`, max-pool 2 after
    the 1st, 2nd, 4th, 6th and 8th, global mean, then a single dense layer. Kernels start He-normal.

    When to use:
      To repeat comparisons on CIFAR. It wants a GPU.

    Args:
      classes: the number of classes.
      width: channels of the first convolution; 64 is the paper's.
      dropout: before the dense layer, in [0, 1), rounded to a multiple of 1/256.
      batch_norm: whether each convolution is followed by batch-norm (momentum 0.9).

    Returns:
      A module for images of shape (batch, height, width, channels), at least 32 x 32; flat
      square ones are taken too.

    Raises:
      ValueError: for an argument out of range.

    See also:
      `resnet18`, `cnn`.

    Example:
      >>> import jax
      >>> from lropt_jax.tasks.models import vgg11
      >>> model, images = vgg11(), jax.numpy.zeros((2, 32, 32, 3))
      >>> logits, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
      >>> logits.shape
      (2, 10)
    """
    check_counts(classes=classes, width=width)
    check_dropout(dropout)
    return VGG11(classes, width, dropout, batch_norm)


class VGG11(nn.Module):
    """The module of `vgg11`, which says what the fields mean."""

    classes: int
    width: int
    dropout: float
    batch_norm: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits of shape (batch, classes)."""
        conv = partial(
            nn.Conv,
            kernel_size=(3, 3),
            use_bias=not self.batch_norm,
            kernel_init=nn.initializers.he_normal(),
        )
        x = as_images(x, smallest=32)
        for multiples in ((1,), (2,), (4, 4), (8, 8), (8, 8)):
            for multiple in multiples:
                x = conv(multiple * self.width)(x)
                if self.batch_norm:
                    x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
                x = nn.relu(x)
            x = nn.max_pool(x, (2, 2), (2, 2))  # type: ignore[no-untyped-call]
        x = jnp.mean(x, axis=(1, 2))
        return dense(self.classes)(Dropout(self.dropout)(x, train))
