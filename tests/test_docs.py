"""The README's two commands are the ones that set up, run the demo and pass the tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of a language, in order."""
    return [one.strip() for one in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)]


def test_the_first_command_runs_the_demo_and_the_second_the_tests() -> None:
    assert blocks("sh") == ["python3 dev.py demo", "python3 dev.py test"]


def test_ci_runs_the_second_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").strip()
    assert script.splitlines()[-1] == blocks("sh")[1]


def test_every_python_example_is_python() -> None:
    examples = blocks("python")
    assert len(examples) >= 4
    for example in examples:
        ast.parse(example)


def test_every_local_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
