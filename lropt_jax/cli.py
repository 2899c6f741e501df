"""The command `lropt`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

# One module a subcommand (or a few), each with `add_parsers(subparsers)`.
COMMANDS = ("compare", "find_lr", "catalogue", "sweep", "reproduce")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. A user's mistake is one line on standard error."""
    parser = argparse.ArgumentParser(
        prog="lropt",
        description="Which optimizer, which learning rate, which schedule, and can I trust it?",
    )
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        importlib.import_module(f"lropt_jax.commands.{name}").add_parsers(subparsers)
    options = parser.parse_args(arguments)
    _use_all_cores()
    try:
        options.run(options)
    except KeyboardInterrupt as interrupt:
        notes = "".join(f". {note}" for note in getattr(interrupt, "__notes__", ()))
        print(f"\nlropt: interrupted{notes}", file=sys.stderr)
        return 130
    except (ValueError, KeyError, TypeError, ImportError, OSError) as error:
        if options.traceback:
            raise
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"lropt: error: {message}", file=sys.stderr)
        return 2
    return 0


def _use_all_cores() -> None:
    """On a CPU each core is a device, so that lanes can train side by side."""
    import jax

    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not every system tells
        cores = os.cpu_count() or 1
    # Too late once a computation has run; then the devices stay as they are.
    if "XLA_FLAGS" not in os.environ or "device_count" not in os.environ["XLA_FLAGS"]:
        try:
            jax.config.update("jax_num_cpu_devices", cores)  # type: ignore[no-untyped-call]
        except RuntimeError:
            return


if __name__ == "__main__":
    sys.exit(main())
