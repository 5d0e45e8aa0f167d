"""Whether the attention of an engine is fused, as its record tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from yolov12edge.documents import Document
from yolov12edge.engine.inspection import AttentionFusion, EngineInspection
from yolov12edge.engine.record import BuildRecord
from yolov12edge.errors import GateFailed

Verdict = Literal["fused", "split", "not seen"]


class FusionReport(Document):
    """What became of the attention blocks of a plan.

    Attributes:
        verdict: "fused" if every block is one kernel, "split" if one is not; "not seen" where
            that was not told.
        fused, blocks: attention blocks that are one kernel, and all; 0 where not seen.
        text: in a line, as "attention: 8 of 8 fused (SM86)".
        split: blocks that are not one kernel, with the pattern they missed.
    """

    verdict: Verdict
    fused: int = 0
    blocks: int = 0
    text: str
    split: tuple[AttentionFusion, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """A line for each pattern by which blocks are split, with the blocks."""
        blocks: dict[str, list[str]] = defaultdict(list)
        for block in self.split:
            blocks[block.missed].append(block.name)
        return [
            f"attention is split: {_listed(names)}, {missed}" for missed, names in blocks.items()
        ]

    @property
    def refusal(self) -> GateFailed | None:
        """Why such an engine is refused where every attention block has to be one kernel."""
        if self.verdict == "fused":
            return None
        if self.verdict == "not seen":
            return GateFailed(
                f"whether attention is fused was {self.text.removeprefix('attention: ')}",
                "build with TensorRT-RTX and --profiling-verbosity detailed, or leave out "
                "--require-fused",
            )
        missed = self.split[0].missed
        return GateFailed(
            f"attention is not fused: {_listed([block.name for block in self.split])}, {missed}",
            "export with --fp16 and without --no-swap-attention, or leave out --require-fused",
        )


def attention_fusion(record: BuildRecord | None, plan: Path) -> FusionReport:
    """Read the record of a plan.

    Args:
        record: None where the builder was not asked for details.
        plan: what to call it.
    """
    if record is None:
        return _unseen("the builder was not asked for details")
    found = record.inspect(plan)
    if found is None:
        return _unseen(record.unread or "the record holds no kernels")
    reason = _untold(found)
    if reason is not None:
        return _unseen(reason)
    split = [block for block in found.attention if block.fusion != "fused"]
    where = ", ".join(f"SM{sm}" for sm in record.sm) or record.backend
    return FusionReport(
        verdict="split" if split else "fused",
        fused=found.fused,
        blocks=len(found.attention),
        text=f"attention: {found.fused} of {len(found.attention)} fused ({where})",
        split=tuple(split),
    )


def _untold(found: EngineInspection) -> str | None:
    """Why an engine's layers do not say it."""
    if not found.detailed:
        return "its layers are names only"
    if not found.attention:
        return "no attention block is named in the kernels"
    hidden = sum(block.fusion == "hidden" for block in found.attention)
    if hidden:
        return f"{hidden} of {len(found.attention)} blocks are inside a region that is not shown"
    return None


def _unseen(reason: str) -> FusionReport:
    return FusionReport(verdict="not seen", text=f"attention: not seen: {reason}")


def _listed(names: Sequence[str]) -> str:
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]
