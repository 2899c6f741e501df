"""`lropt completion`, in the shell that it is for."""

from __future__ import annotations

import argparse
import shutil
import subprocess

import pytest

from lropt_jax.cli import main, parser
from lropt_jax.commands.completion import INSTALL, NAMES

pytest.importorskip("shtab")

# What is typed, and words of which the first are offered and the second are not.
TYPED = {
    "lropt re": ({"reproduce"}, {"compare"}),
    "lropt reproduce wi": ({"wilson"}, {"reddi"}),
    "lropt compare --optimizers ad": ({"adam", "adamw"}, {"sgd"}),
    "lropt compare --optimizers sgd,ad": ({"sgd,adam", "sgd,adamw"}, {"adam"}),
    "lropt compare --problem mnist1d": ({"mnist1d_mlp"}, {"shuttle"}),
    "lropt compare --optimizers sgd --data di": ({"digits"}, {"mnist1d"}),
    "lropt find-lr --optimizer na": ({"nadam", "nadamw"}, {"adam"}),
    "lropt schedules co": ({"constant", "cosine_decay"}, {"linear"}),
    "lropt atlas --problems sh": ({"shuttle"}, {"digits_linear"}),
    "lropt sweep sm": ({"small.toml"}, set()),
    "lropt tune --pl": ({"--plan"}, {"--key"}),
}
ASK = {
    "bash": """COMP_WORDS=({line})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_shtab_lropt 2>/dev/null
printf '%s\\n' "${{COMPREPLY[@]}}" """,
    "fish": """complete -C '{line}'""",
}


@pytest.mark.parametrize("shell", ASK)
@pytest.mark.parametrize("line", TYPED)
def test_what_a_shell_offers(tmp_path, monkeypatch, capsys, shell, line):
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").touch()
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out + "\n" + ASK[shell].format(line=line)
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True)
    offered = {words.split("\t")[0].strip() for words in done.stdout.splitlines()}
    wanted, unwanted = TYPED[line]
    assert wanted <= offered, done.stderr
    assert not unwanted & offered


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
def test_zsh_can_read_it(capsys):
    assert main(["completion", "zsh"]) == 0
    script = capsys.readouterr().out
    done = subprocess.run(["zsh", "-n"], input=script, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "_values -s , name adabelief" in script


def test_every_argument_that_takes_names_is_one_that_there_is():
    top = parser()
    (subparsers,) = (a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    there = {
        name
        for command, sub in subparsers.choices.items()
        for action in sub._actions
        for name in (action.dest, f"{command} {action.dest}")
    }
    assert set(NAMES) <= there
    assert all(NAMES[name]() for name in NAMES)
    assert {a.dest: set(a.choices) for a in subparsers.choices["completion"]._actions if a.choices}[
        "shell"
    ] == set(INSTALL)
