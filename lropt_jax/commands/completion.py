"""`lropt completion`: what a shell needs to complete the command's words."""

from __future__ import annotations

import argparse
import importlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lropt_jax.commands.answers import Answer
from lropt_jax.validation import require

INSTALL = {
    "bash": "lropt completion bash > ~/.local/share/bash-completion/completions/lropt",
    "zsh": "lropt completion zsh > ~/.zfunc/_lropt    # a folder of fpath, before compinit",
    "fish": "lropt completion fish > ~/.config/fish/completions/lropt.fish",
}


def _of(module: str, found: Callable[[Any], Sequence[str]]) -> Callable[[], list[str]]:
    return lambda: list(found(importlib.import_module(f"lropt_jax.{module}")))


# The names that an argument takes, of one command or of all that have it.
NAMES: dict[str, Callable[[], list[str]]] = {
    "optimizers": _of("comparisons.recipes", lambda m: m.recipes()),
    "optimizer": _of("comparisons.recipes", lambda m: m.recipes()),
    "candidate": _of("comparisons.recipes", lambda m: m.recipes()),
    "schedule": _of("comparisons.recipes", lambda m: list(m.SHAPES)),
    "problem": _of("problems", lambda m: list(m.PROBLEMS)),
    "problems": _of("problems", lambda m: list(m.PROBLEMS)),
    "data": _of("tasks.data.published", lambda m: ["mnist1d", "digits", "mnist5k", *m.PUBLISHED]),
    "model": _of("commands.problem", lambda m: m.MODELS),
    "schedules names": _of("schedules", lambda m: list(m.SCHEDULES)),
    "reproduce names": _of("reproductions.catalogue", lambda m: list(m.CLAIMS)),
}
COMMAS = ("optimizers",)  # several, with commas between them
# Functions that complete the last of several names with commas between them.
LISTS = {
    "bash": """{name}() {{
  local before=""
  [[ $1 == *,* ]] && before="${{1%,*}},"
  compgen -P "$before" -W {words} -- "${{1##*,}}"
}}""",
    "zsh": """{name}() {{ _values -s , name {listed} }}""",
    "fish": """function {name}
  set -l word (commandline -ct)
  set -l before (string replace -r '[^,]*$' '' -- $word)
  for each in {listed}
    echo $before$each
  end
end""",
}


def add_parsers(subparsers: Any) -> None:
    """Registers the subcommand."""
    parser = subparsers.add_parser(
        "completion",
        help="print what bash, zsh or fish needs to complete this command",
        description="Prints a script for a shell, from these very options. Load it with:\n\n  "
        + "\n  ".join(INSTALL.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=tuple(INSTALL), help="which one")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> Answer:
    """Writes the script."""
    require("lropt completion", "completion", "shtab")
    import shtab

    for parser in _parsers(options.top):
        for action in parser._actions:
            _tell(action, parser.prog, options.shell)
    script = shtab.complete(options.top, options.shell)
    return Answer({"shell": options.shell, "script": script}, lambda: print(script))


def _tell(action: argparse.Action, prog: str, shell: str) -> None:
    """Says in shtab's words what an argument takes."""
    import shtab

    command = prog.rpartition(" ")[2]
    known = NAMES.get(f"{command} {action.dest}", NAMES.get(action.dest))
    found = known() if known is not None else []
    if action.dest in COMMAS:
        name, listed = f"_lropt_{command}_{action.dest}", " ".join(found)
        script = LISTS[shell].format(name=name, words=shlex.quote(listed), listed=listed)
        called = f"({name})" if shell == "fish" else name
        action.complete = {shell: called, "preamble": {shell: script}}  # type: ignore[attr-defined]
    elif found:
        action.choices = found
    elif action.metavar == "DIR":
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    elif action.type is Path:
        action.complete = shtab.FILE  # type: ignore[attr-defined]


def _parsers(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield top
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()
