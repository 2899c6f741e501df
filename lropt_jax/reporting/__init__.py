"""Reports: one self-contained page, the figures and all rows, on disk."""

from lropt_jax.reporting.report import require_report as require_report
from lropt_jax.reporting.report import write_report as write_report
