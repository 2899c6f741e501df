"""Writes docs/command.md from the command's own parser: `python -m tests.command_page`.

`test_command_page` fails where the page is not up to date.
"""

from __future__ import annotations

import argparse
import pathlib
import re

from lropt_jax.cli import parser
from lropt_jax.commands.completion import INSTALL
from lropt_jax.commands.documents import ALWAYS, DOCUMENTS, KEEPING, KEPT, PLAN, PLAN_OF_PARTS
from lropt_jax.commands.endings import MEANING

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "command.md"
EVERYWHERE = ("help", "traceback", "no_cache", "json", "version", "command")
HEAD = """# The command

`lropt` does from a terminal what the functions do in Python; `python -m lropt_jax` is the same.
This page is written from the command's own options.

```text
lropt find-lr --data digits --optimizer sgd
lropt compare --task mine.py:task --optimizers adamw,optax.lion,mine.py:optimizer --plan
lropt tune --problem mnist1d_mlp --budget 5min --json > answer.json
```

**Your own code.** A task is `package.module:task` or `file.py:task`, a `Task` or a function that
returns one; an optimizer is `optax.lion`, `package.module:factory` or `file.py:factory`, a function
of `learning_rate`. Where your own code raises you see its traceback from your file on.

**Plan.** The long commands say what they are going to train and what that costs before they begin;
with `--plan` they stop there. (`find-lr` says it with `--plan` alone: to foresee it takes as long
as the test.) The time is an estimate: a few updates are run and thrown away (`atlas` and
`reproduce`: what it took on two cores).

**JSON.** With `--json` standard output holds one document and nothing else: words, warnings,
progress and whatever a task prints go to standard error. It is strict JSON: what is not finite is
`null`. What fails is a document too. Every one has {always}; the others are there
where the work came to its end. Keys may be added, and are not renamed.

**Exit codes.** {meaning}

A reader that has gone (`lropt list | head -1`) ends it without a word. What fails leaves no files
behind; what is interrupted leaves what it goes on from.

**Terminals.** `NO_COLOR`, `FORCE_COLOR` and `TERM=dumb` are heeded. Without a terminal there is a
line of progress now and then, ever more rarely.

**Completion** of options and names, by [shtab](https://docs.iterative.ai/shtab/) (`pip install
'lropt-jax[completion]'`):

```text
{install}
```

**Faults.** `lropt --version` says what a report of one should: versions and the machine; with
`--json` by name, under `versions`.
"""


def page():
    """The whole page."""
    top = parser()
    (subparsers,) = (a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    helps = {a.dest: a.help for a in subparsers._choices_actions}
    *others, last = (f"`{key}` ({words})" for key, words in ALWAYS.items())
    always = f"{', '.join(others)} and {last}"
    meaning = MEANING.removeprefix("Exit codes: ")
    parts = [HEAD.format(always=always, meaning=meaning, install="\n".join(INSTALL.values()))]
    shared = [a for a in top._actions if a.dest in ("traceback", "no_cache", "json", "version")]
    parts.append("## Options of all\n\n" + options(shared))
    for name, sub in subparsers.choices.items():
        own = [a for a in sub._actions if a.dest not in EVERYWHERE]
        parts.append(f"## lropt {name}\n\n{sentence(helps[name])}\n\n{options(own)}\n{keys(name)}")
    parts.append("## The JSON of a plan\n\n" + rows("key", PLAN))
    keeping = ", ".join(f"`{name}`" for name in KEEPING)
    parts.append(f"Of {keeping} also:\n\n" + rows("key", KEPT))
    parts.append("Of `reproduce` and `atlas`:\n\n" + rows("key", PLAN_OF_PARTS))
    return "\n".join(parts)


def sentence(words):
    return words[0].upper() + words[1:] + "."


def options(actions):
    found = {}
    for action in actions:
        takes = "" if action.nargs == 0 else action.metavar or ""
        if not takes and action.nargs != 0 and action.option_strings:
            takes = "|".join(map(str, action.choices)) if action.choices else action.dest.upper()
        if not action.option_strings:
            takes = takes or "|".join(map(str, action.choices or [action.dest]))
        name = " ".join([*action.option_strings[-1:], takes]).strip()
        words = action.help or ""
        if action.default and "default" not in words and action.default != argparse.SUPPRESS:
            words += f" (default: {action.default})"
        found[name] = words
    return rows("option", found)


def keys(name):
    return f"Its JSON:\n\n{rows('key', DOCUMENTS[name])}"


def rows(what, found):
    lines = [f"| {what} | |", "|---|---|"]
    for name, words in found.items():
        lines.append(f"| `{escaped(name)}` | {escaped(words)} |")
    return "\n".join(lines) + "\n"


def escaped(words):
    return re.sub(r"([|<])", r"\\\1", words.replace("%%", "%"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
