"""Networks to compare optimizers on, as Flax linen modules."""

from lropt_jax.models.convolutional import cnn as cnn
from lropt_jax.models.convolutional import vgg11 as vgg11
from lropt_jax.models.mlp import mlp as mlp
from lropt_jax.models.residual import resnet18 as resnet18
