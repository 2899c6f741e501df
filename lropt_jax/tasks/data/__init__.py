"""Data sets with fixed splits."""

from lropt_jax.tasks.data.loading import Dataset as Dataset
from lropt_jax.tasks.data.loading import load_data as load_data
