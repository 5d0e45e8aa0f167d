"""Which plans load where: the cases of plan_rules.json, which Python and C++ decide alike."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["loads", "version_mismatch", "device_mismatch", "platform_mismatch"]

PLAN: dict[str, Any] = {
    "backend": "tensorrt",
    "version": "10.3.0",
    "sm": [87],
    "hardware_compatibility": "none",
    "version_compatible": False,
    "platform": "linux-aarch64",
}
MACHINE: dict[str, Any] = {"version": "10.3.0", "sm": 87, "platform": "linux-aarch64"}


@dataclass(frozen=True)
class Rule:
    """A plan, a machine, and whether one loads on the other.

    Attributes:
        why: the rule in words.
        plan: facts as a manifest's `engine` entry has them.
        machine: the library's version, the GPU's `sm`, the `platform`.
        verdict: what has to come out.
    """

    why: str
    plan: dict[str, Any]
    machine: dict[str, Any]
    verdict: Verdict

    def __str__(self) -> str:
        return self.why


def read_rules() -> list[Rule]:
    """All cases; what a case does not mention is as in PLAN and MACHINE."""
    document = json.loads(Path(__file__).with_name("plan_rules.json").read_text(encoding="utf-8"))
    return [
        Rule(case["why"], PLAN | case["plan"], MACHINE | case["machine"], case["verdict"])
        for case in document["cases"]
    ]
