"""Networks to compare optimizers on, as Flax linen modules."""

from lropt_jax.validation import require

require("lropt_jax.models", "flax", "flax", "flax.linen")

from lropt_jax.tasks.models.convolutional import cnn as cnn  # noqa: E402
from lropt_jax.tasks.models.convolutional import vgg11 as vgg11  # noqa: E402
from lropt_jax.tasks.models.dense import mlp as mlp  # noqa: E402
from lropt_jax.tasks.models.residual import resnet18 as resnet18  # noqa: E402
