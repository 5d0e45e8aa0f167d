"""Every rewrite step is exact, and a step that is not is refused."""

from __future__ import annotations

import pytest
import torch

from tests.models import lively_model
from yolov12edge.errors import ExportError
from yolov12edge.export import ATTENTION_VARIANTS
from yolov12edge.export import rewrite as rewriting
from yolov12edge.export.modules import ContiguousAttention, ExportModel
from yolov12edge.export.rewrite import rewrite


@pytest.mark.parametrize("layout", ["v1", "turbo"])
@pytest.mark.parametrize("scale", ["n", "l"])
def test_the_rewrite_is_exact(scale: str, layout: str) -> None:
    model = lively_model(scale, layout, num_classes=3)
    exported, proofs = rewrite(model)
    assert [proof.step for proof in proofs] == [
        "fold-batch-norm",
        "contiguous-qkv",
        "scale-into-query",
        "linear-decode",
    ]
    assert all(proof.changed > 0 for proof in proofs)
    assert max(proof.box_error for proof in proofs) < 1e-7
    assert max(proof.block_error for proof in proofs) < 1e-11
    x = torch.rand(1, 3, 64, 96, dtype=torch.float64)
    expected = model.double()(x)
    assert expected[:, 4:].max() > 0.1, "the probe must carry a signal"
    torch.testing.assert_close(exported(x), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("variant", ATTENTION_VARIANTS)
def test_variants_compute_the_same(variant: str) -> None:
    model = lively_model("n", "v1")
    exported, _ = rewrite(model, variant)  # type: ignore[arg-type]
    x = torch.rand(2, 3, 96, 160, dtype=torch.float64)
    torch.testing.assert_close(exported(x), model.double()(x), rtol=0, atol=1e-7)


def test_the_detector_is_left_alone() -> None:
    model = lively_model("n")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rewrite(model)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert next(model.parameters()).dtype == torch.float32


def test_without_the_swap_the_scale_stays_beside_the_product() -> None:
    exported, proofs = rewrite(lively_model("n"), swap_attention=False)
    left_out = {proof.step: proof.why_not for proof in proofs if not proof.changed}
    assert left_out == {
        "scale-into-query": "--no-swap-attention leaves the scale beside the product"
    }
    assert all(proof.why_not is None for proof in proofs if proof.changed)
    blocks = [m for m in exported.modules() if isinstance(m, ContiguousAttention)]
    assert len(blocks) == 8
    assert all(block.scale == 32**-0.5 for block in blocks)


SCALE_QUERIES = rewriting.scale_queries


def forget_the_scale(model: ExportModel) -> int:
    for block in model.modules():
        if isinstance(block, ContiguousAttention):
            block.scale = 1.0
    return 8


def swap_two_heads(model: ExportModel) -> int:
    changed = SCALE_QUERIES(model)
    block = next(m for m in model.modules() if isinstance(m, ContiguousAttention))
    weight = block.qkv.conv.weight
    weight[:64] = torch.cat([weight[32:64], weight[:32]])
    return changed


@pytest.mark.parametrize("wrong", [forget_the_scale, swap_two_heads])
def test_a_wrong_step_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, wrong: object) -> None:
    monkeypatch.setattr(rewriting, "scale_queries", wrong)
    with pytest.raises(ExportError, match=r"'scale-into-query' moved .* of its output"):
        rewrite(lively_model("n"))


def test_broken_weights_are_refused() -> None:
    model = lively_model("n")
    model.state_dict()["model.2.cv1.conv.weight"][0, 0] = float("nan")
    with pytest.raises(ExportError, match="fold-batch-norm"):
        rewrite(model)
