"""Named problems, all offline: what optimizers are compared on."""

from lropt_jax.problems.catalogue import PROBLEMS as PROBLEMS
from lropt_jax.problems.catalogue import problem as problem
