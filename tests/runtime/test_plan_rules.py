"""Which plans Python loads where; tests/cpp asks the C++ runtime the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.runtime.plan_rules import MACHINE, PLAN, Rule, read_rules
from yolov12edge.errors import UnsupportedError
from yolov12edge.runtime import plan_origin
from yolov12edge.runtime.cuda import Gpu
from yolov12edge.runtime.plan_file import PlanHeader


def verdict(rule: Rule, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path, backend = folder / "engine.plan", rule.plan["backend"]
    engine = rule.plan | {"file": path.name, "sha256": "ab"}
    path.with_name("engine.plan.json").write_text(json.dumps({"engine": engine}))
    header = PlanHeader(backend, None, (), 0, 0, None)
    origin = plan_origin.plan_origin(path, header, "ab")
    machine = rule.machine
    monkeypatch.setattr(plan_origin, "this_platform", lambda: machine["platform"])
    try:
        plan_origin.check_platform(path, origin, backend)
    except UnsupportedError:
        return "platform_mismatch"
    try:
        plan_origin.check_version(path, origin, plan_origin.TITLES[backend], machine["version"])
    except UnsupportedError:
        return "version_mismatch"
    try:
        plan_origin.check_gpu(path, origin, Gpu(0, "some GPU", machine["sm"], 8 << 30))
    except UnsupportedError:
        return "device_mismatch"
    return "loads"


@pytest.mark.parametrize("rule", read_rules(), ids=str)
def test_a_plan_loads_where_the_rule_says(
    rule: Rule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verdict(rule, tmp_path, monkeypatch) == rule.verdict


def test_capabilities_that_are_no_numbers_are_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = PLAN | {"sm": ["86", None], "hardware_compatibility": "ampere_plus"}
    for sm, expected in ((89, "loads"), (75, "device_mismatch")):
        rule = Rule("", plan, MACHINE | {"sm": sm}, "loads")
        assert verdict(rule, tmp_path, monkeypatch) == expected


def test_every_verdict_has_its_cases() -> None:
    rules = read_rules()
    assert len({rule.why for rule in rules}) == len(rules)
    verdicts = [rule.verdict for rule in rules]
    assert min(verdicts.count(one) for one in ("loads", "version_mismatch", "device_mismatch")) > 5
    assert {rule.plan["backend"] for rule in rules} == {"tensorrt", "tensorrt_rtx"}
