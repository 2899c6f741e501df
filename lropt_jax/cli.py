"""The command `lropt`."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import difflib
import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from lropt_jax.commands.endings import (
    CLOSED,
    DONE,
    FAILED,
    MEANING,
    MISTAKE,
    Signals,
    interruption,
    notes_of,
    unheard,
)

# One module a subcommand (or a few), each with `add_parsers(subparsers)`.
COMMANDS = ("tune", "compare", "find_lr", "catalogue", "sweep", "reproduce", "atlas", "completion")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. A user's mistake is one line on standard error."""
    for name in ("stdout", "stderr"):
        # Closed by who called, `lropt list >&-`: else the next file that is opened takes its place.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):  # "±" where the terminal has no such letter
            stream.reconfigure(errors="replace")
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
            if arguments is None:
                unheard()
    except BrokenPipeError:  # `lropt list | head -1` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED


def _run(arguments: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    # What is known of them before they are read.
    options = argparse.Namespace(command=None, json="--json" in words, traceback=False)
    signals = Signals()
    if arguments is None:  # this is the program, not a call within one
        atexit.register(signals.close)  # first of all, so it is called last
    try:
        with signals.heard():
            options = _parsed(words)
            _use_all_cores()
            if not options.no_cache:
                from lropt_jax.training.remembered import keep_programs

                keep_programs()
            return _answered(options, signals)
    except _AskedForVersions:
        return _tell_versions(options.json)
    except _Misread as mistake:
        options.command = mistake.parser.prog.partition(" ")[2] or None
        _failed(options, MISTAKE, str(mistake))
        mistake.tell()
    except KeyboardInterrupt as interrupt:
        return _interrupted(options, signals, interrupt)
    except BrokenPipeError:
        raise
    except (Exception, SystemExit) as error:
        if options.command is None:  # --help has been shown
            raise
        if (cause := interruption(error)) is not None:
            return _interrupted(options, signals, cause)
        from lropt_jax.commands.failures import in_words, told

        code = None if options.traceback else told(error)
        _failed(options, FAILED if code is None else code, in_words(error))
        if code is None:
            raise
        return code


def _interrupted(
    options: argparse.Namespace, signals: Signals, interrupt: KeyboardInterrupt | None = None
) -> int:
    """Says that the command was interrupted, and how to go on."""
    signals.ended = True
    notes = "".join(f". {note}" for note in notes_of(interrupt))
    print(f"\nlropt: interrupted{notes}", file=sys.stderr)
    return _failed(options, signals.code, f"interrupted{notes}")


class _Misread(Exception):
    """Arguments that a parser cannot take."""

    def __init__(self, parser: argparse.ArgumentParser, words: str):
        super().__init__(words)
        self.parser = parser

    def tell(self) -> NoReturn:
        """Shows the parser's usage and the words, and ends the program."""
        argparse.ArgumentParser.error(self.parser, str(self))


class _Parser(argparse.ArgumentParser):
    """A parser that leaves it to its caller what a mistake looks like."""

    def error(self, message: str) -> NoReturn:
        raise _Misread(self, message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        known = [str(choice) for choice in action.choices or ()]
        if known and str(value) not in known:
            from lropt_jax.validation import instead

            raise argparse.ArgumentError(action, f"unknown: {value!r}{instead(value, known)}")


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """The arguments; of one that a subcommand does not know, that one's usage is shown."""
    top = parser()
    options, rest = top.parse_known_args(words)
    if rest:
        (commands,) = (a for a in top._actions if isinstance(a, argparse._SubParsersAction))
        own: argparse.ArgumentParser = commands.choices[options.command]
        known = [word for action in own._actions for word in action.option_strings]
        given = next((word for word in rest if word.startswith("-")), "").partition("=")[0]
        near = difflib.get_close_matches(given, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        own.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
    return options


def _answered(options: argparse.Namespace, signals: Signals) -> int:
    """Has the command work, and shows what it found."""
    from lropt_jax.commands.answers import kept_clean, warnings_in_words

    with kept_clean() if options.json else contextlib.nullcontext(), warnings_in_words():
        answer = options.run(options)
    if not options.json:
        answer.show()
    code, why = DONE, ""
    if answer.interrupted:
        signals.ended = True
        code, why = signals.code, f"interrupted. {answer.interrupted}"
        print(f"\nlropt: {why}", file=sys.stderr)
    elif answer.failed:
        code, why = FAILED, answer.failed
        print(f"lropt: error: {why}", file=sys.stderr)
    if options.json:
        _document(options.command, answer.document, code, why)
    return code


def _failed(options: argparse.Namespace, code: int, why: str) -> int:
    """The code of a command without an answer, whose document says why."""
    if options.json:
        _document(options.command, {}, code, why)
    return code


def _document(command: str | None, found: Mapping[str, Any], code: int, why: str) -> None:
    """Prints the one document of a command."""
    from lropt_jax.commands.answers import as_json

    about = {"command": command, "version": _version(), "exit_code": code, "error": why or None}
    print(as_json({**about, **found}))


def _version() -> str:
    return str(importlib.import_module(str(__package__)).__version__)


def _tell_versions(json: bool) -> int:
    """Shows the versions that a report of a fault should tell."""
    from lropt_jax.pages.surroundings import versions

    found = versions()
    if json:
        _document(None, {"versions": found}, DONE, "")
        return DONE
    others = {k: v for k, v in found.items() if k != "lropt-jax"}
    words = ", ".join(v if k == "devices" else f"{k} {v}" for k, v in others.items())
    print(f"lropt {_version()} ({words})")
    return DONE


class _AskedForVersions(Exception):
    """What `--version` ends the reading of the arguments with."""


class _Versions(argparse.Action):
    def __call__(self, *_: Any) -> NoReturn:
        raise _AskedForVersions


def parser() -> argparse.ArgumentParser:
    """The parser of the command and of all its subcommands."""
    top = _Parser(
        prog="lropt",
        description="Which optimizer, which learning rate, which schedule, and can I trust it?",
    )
    top.add_argument(
        "--version", action=_Versions, nargs=0, help="versions of all that matters, and the machine"
    )
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        importlib.import_module(f"lropt_jax.commands.{name}").add_parsers(subparsers)
    subparsers.choices["completion"].set_defaults(top=top)  # which it describes
    for each in (top, *subparsers.choices.values()):
        # Before the command and after it; the one that is not given must not undo the other.
        default = False if each is top else argparse.SUPPRESS
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
        each.add_argument(
            "--json",
            action="store_true",
            default=default,
            help="print one JSON document and nothing else; words go to standard error",
        )
        each.epilog = MEANING
    return top


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
