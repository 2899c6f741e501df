"""The field's claims, put to the test: one file a claim, its criterion fixed beforehand."""

from lropt_jax.reproductions.catalogue import CLAIMS as CLAIMS
from lropt_jax.reproductions.claim import Claim as Claim
from lropt_jax.reproductions.claim import Verdict as Verdict
from lropt_jax.reproductions.running import reproduce as reproduce
