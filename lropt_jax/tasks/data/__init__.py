"""Data sets with fixed splits."""

from lropt_jax.tasks.data.loading import load_data as load_data
from lropt_jax.tasks.data.splitting import Dataset as Dataset
