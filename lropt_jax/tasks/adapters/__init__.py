"""Tasks out of models: what turns a module of a neural-network library into a `Task`."""

from lropt_jax.tasks.adapters.classification import classification_task as classification_task
