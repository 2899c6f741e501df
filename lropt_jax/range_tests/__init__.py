"""The learning-rate range test: run, smoothed, read by rules, with intervals from the seeds."""

from lropt_jax.range_tests.curve import RangeTest as RangeTest
from lropt_jax.range_tests.reading import Suggestion as Suggestion
from lropt_jax.range_tests.run import lr_range_test as lr_range_test
