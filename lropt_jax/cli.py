"""The command `lropt`."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence

# One module a subcommand (or a few), each with `add_parsers(subparsers)`.
COMMANDS = ("tune", "compare", "find_lr", "catalogue", "sweep", "reproduce", "atlas")
CLOSED = 128 + 13  # what a shell reports of a program whose reader has gone


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. A user's mistake is one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # "±" where the terminal has no such letter
            stream.reconfigure(errors="replace")
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # `lropt list | head -1` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED


def _run(arguments: Sequence[str] | None) -> int:
    from lropt_jax.commands.failures import told

    options = _parser().parse_args(arguments)
    _use_all_cores()
    try:
        if not options.no_cache:
            from lropt_jax.training.remembered import keep_programs

            keep_programs()
        options.run(options)
    except KeyboardInterrupt as interrupt:
        notes = "".join(f". {note}" for note in getattr(interrupt, "__notes__", ()))
        print(f"\nlropt: interrupted{notes}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        raise
    except Exception as error:
        if options.traceback or not told(error):
            raise
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lropt",
        description="Which optimizer, which learning rate, which schedule, and can I trust it?",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        importlib.import_module(f"lropt_jax.commands.{name}").add_parsers(subparsers)
    for each in (parser, *subparsers.choices.values()):
        # Before the command and after it; the one that is not given must not undo the other.
        default = False if each is parser else argparse.SUPPRESS
        each.add_argument(
            "--traceback", action="store_true", default=default, help="show where an error is from"
        )
        each.add_argument(
            "--no-cache",
            action="store_true",
            default=default,
            help="compile anew; else what is compiled is kept in the user's cache folder "
            "(lropt_jax/programs), and a second start takes it from there",
        )
    return parser


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
