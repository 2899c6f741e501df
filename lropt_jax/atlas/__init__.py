"""The public comparison of optimizers: tuned alike on every problem, kept as data."""

from lropt_jax.atlas.profiles import profile_scores as profile_scores
from lropt_jax.atlas.rows import load_atlas as load_atlas
