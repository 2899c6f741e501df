"""`python -m lropt_jax`: the command `lropt`."""

import sys

from lropt_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
