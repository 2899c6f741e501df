"""Residual networks."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from lropt_jax.tasks.models.layers import as_images, check_counts, dense


def resnet18(classes: int = 10, width: int = 64) -> nn.Module:
    """ResNet-18 (He et al. 2015, arXiv:1512.03385) in its CIFAR form.

    A convolution of 3 x 3, without a pooling, then four stages of two basic blocks of widths 1,
    2, 4 and 8 times `width`, the last three halving the image; global mean; dense. Batch-norm
    after each convolution (momentum 0.9), a 1 x 1 convolution on the shortcut where the shape
    changes. Kernels start He-normal (fan out).

    When to use:
      To repeat comparisons on CIFAR, with batch normalization. It wants a GPU.

    Args:
      classes: the number of classes.
      width: channels of the first stage; 64 is the paper's.

    Returns:
      A module for images of shape (batch, height, width, channels); flat square ones are taken
      too.

    Raises:
      ValueError: for an argument out of range.

    See also:
      `vgg11`, `cnn`.

    Example:
      >>> import jax
      >>> from lropt_jax.tasks.models import resnet18
      >>> model, images = resnet18(), jax.numpy.zeros((2, 32, 32, 3))
      >>> logits, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
      >>> logits.shape
      (2, 10)
    """
    check_counts(classes=classes, width=width)
    return ResNet18(classes, width)


class ResNet18(nn.Module):
    """The module of `resnet18`, which says what the fields mean."""

    classes: int
    width: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits of shape (batch, classes)."""
        conv = partial(
            nn.Conv,
            use_bias=False,
            kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
        )
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9)
        x = as_images(x, smallest=1)
        x = nn.relu(norm()(conv(self.width, (3, 3))(x)))
        for stage in range(4):
            for block in range(2):
                stride = 2 if stage > 0 and block == 0 else 1
                x = _Block(self.width * 2**stage, stride, conv, norm)(x)
        return dense(self.classes)(jnp.mean(x, axis=(1, 2)))


class _Block(nn.Module):
    """Two convolutions of 3 x 3 beside a shortcut."""

    features: int
    stride: int
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        strides = (self.stride, self.stride)
        # Padded by 1 on each side, as in the reference; "SAME" would shift a strided window.
        conv = partial(self.conv, kernel_size=(3, 3), padding=((1, 1), (1, 1)))
        y = nn.relu(self.norm()(conv(self.features, strides=strides)(x)))
        y = self.norm()(conv(self.features)(y))
        if x.shape != y.shape:
            x = self.norm()(self.conv(self.features, (1, 1), strides=strides)(x))
        return nn.relu(x + y)
