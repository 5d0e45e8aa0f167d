"""The C++ runtime decides as Python does which plans load where: see tests/runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cpp.toolchain import (
    HERE,
    SANITIZED,
    compile_source,
    run,
    skip_without_sanitizer,
)
from tests.runtime.plan_rules import read_rules


def text(fact: Any) -> str:
    if isinstance(fact, list):
        return " ".join(map(str, fact))
    return "" if fact is None else str(fact)


def test_plans_load_where_the_rules_say(tmp_path: Path) -> None:
    skip_without_sanitizer("g++", tmp_path, *SANITIZED)
    program = compile_source("g++", HERE / "plan_rules_tool.cpp", tmp_path / "rules", *SANITIZED)
    rules = read_rules()
    lines = ["\t".join(map(text, [*rule.plan.values(), *rule.machine.values()])) for rule in rules]
    answers = run(program, input="\n".join(lines).encode()).stdout.decode().split()
    found = {rule.why: answer for rule, answer in zip(rules, answers, strict=True)}
    assert found == {rule.why: rule.verdict for rule in rules}
