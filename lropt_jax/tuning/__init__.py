"""`tune`: which optimizer, rate and schedule for one's own problem, with the evidence."""

from lropt_jax.tuning.protocol import tune as tune
from lropt_jax.tuning.result import Tuning as Tuning
