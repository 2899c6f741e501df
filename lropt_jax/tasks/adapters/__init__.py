"""Tasks out of models: what turns a model of a neural-network library into a `Task`."""

from lropt_jax.tasks.adapters.classification import classification_task as classification_task
from lropt_jax.tasks.adapters.language import language_model_task as language_model_task
from lropt_jax.tasks.adapters.regression import regression_task as regression_task
