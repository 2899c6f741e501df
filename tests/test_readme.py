"""Every code block of the README runs, one after another, as a reader would paste them."""

from __future__ import annotations

import pathlib
import re
import shlex

import pytest

from lropt_jax.cli import main
from tests import guides

README = pathlib.Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README.read_text(), re.M | re.S)


def test_the_python_blocks_run_in_order_and_print_what_stands_below_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = [language for language, _ in BLOCKS].count("python")
    assert blocks >= 5
    guides.run("../README.md", blocks)


def test_the_quick_start_is_two_commands_and_the_first_one_runs(tmp_path, monkeypatch, capsys):
    commands = [code.strip() for language, code in BLOCKS if language == "bash"]
    assert len(commands) >= 2
    venv = r"python3 -m venv \.venv && "
    install = venv + r"\.venv/bin/pip install -q '\.\[(\w+)\]' && \.venv/bin/(.*)"
    job, tests = (re.fullmatch(install, c) for c in commands[:2])
    assert job
    assert tests
    assert tests[2].startswith("python -m pytest")
    program, *arguments = shlex.split(job[2])
    assert program == "lropt"
    monkeypatch.chdir(tmp_path)
    short = ["--epochs", "1", "--seeds", "2", "--tuning-seeds", "1", "--optimizers", "sgd,adam"]
    assert main([*arguments, *short]) == 0
    assert (tmp_path / "runs" / "compare-mnist1d" / "report.html").exists()
    assert "adam" in capsys.readouterr().out


@pytest.mark.parametrize("path", re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text()))
def test_links_lead_somewhere(path):
    assert (README.parent / path).exists()


def test_no_command_is_hidden_from_the_tests():
    known = {"bash", "python", "toml", "text"}
    assert {language for language, _ in BLOCKS} <= known
