"""Networks to compare optimizers on, as Flax linen modules."""

from lropt_jax.tasks.models.convolutional import cnn as cnn
from lropt_jax.tasks.models.convolutional import vgg11 as vgg11
from lropt_jax.tasks.models.mlp import mlp as mlp
from lropt_jax.tasks.models.residual import resnet18 as resnet18
