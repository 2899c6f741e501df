"""Every code block of the README runs, one after another, as a reader would paste them."""

from __future__ import annotations

import pathlib
import re
import shlex

import jax
import pytest

from lropt_jax.cli import main

README = pathlib.Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README.read_text(), re.M | re.S)


def test_the_python_blocks_run_in_order_and_print_what_stands_below_them(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    blocks = [i for i, (language, _) in enumerate(BLOCKS) if language == "python"]
    assert len(blocks) >= 5
    shown = 0
    with jax.numpy_rank_promotion("allow"):
        for i in blocks:
            exec(compile(BLOCKS[i][1], f"README block {i + 1}", "exec"), namespace)
            printed = capsys.readouterr().out
            below = BLOCKS[i + 1] if i + 1 < len(BLOCKS) else ("", "")
            if printed:
                assert below[0] == "text", f"the output of block {i + 1} is not shown"
                assert _without_numbers(below[1]) == _without_numbers(printed)
                shown += 1
    assert shown >= 5


def _without_numbers(text: str) -> list[str]:
    """The words: numbers differ in their last digits from machine to machine."""
    return re.sub(r"-?\d[\d.]*(e[-+]?\d+)?", "#", text).replace("[", "[ ").split()


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
