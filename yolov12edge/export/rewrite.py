"""From the detector to an export model, in small named steps, each proved before the next.

Every step keeps the function exactly; the proof compares the stepped model with the detector in
float64, where an exact rewrite differs by rounding alone. It looks at every layer and every
attention block, not at the detections only: later layers may hide what a block does wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from yolov12edge.errors import ExportError
from yolov12edge.export import forms
from yolov12edge.export.modules import (
    AttentionVariant,
    ContiguousAttention,
    ExportHead,
    ExportModel,
    FoldedConv,
    Swish,
    TanhSiLU,
    bias_of,
    replace,
)
from yolov12edge.model import Detector
from yolov12edge.model.attention import AreaAttention
from yolov12edge.model.blocks import Conv
from yolov12edge.model.detector import ROUTES
from yolov12edge.model.head import DetectionHead
from yolov12edge.model.scales import HEAD_DIM
from yolov12edge.run.form import GraphForm

# P4 is 6 x 4 here: the four areas cut through rows, the hard case of area attention. Small, since
# float64 convolutions are slow.
PROOF_SHAPE = (2, 3, 96, 64)
PROOF_TOLERANCE = 1e-6
BLOCK_TOLERANCE = 1e-9
PLAIN = GraphForm()


@dataclass(frozen=True)
class StepProof:
    """What one rewrite step changed and how far the result moved.

    Attributes:
        step: its name.
        why: what it is for.
        changed: modules replaced or altered.
        box_error: largest difference of a box coordinate against the detector, pixels.
        score_error: largest difference of a score.
        block_error: largest relative error (L2) of a layer's or an attention block's output.
        why_not: why it changed nothing; None where it did.
    """

    step: str
    why: str
    changed: int
    box_error: float
    score_error: float
    block_error: float
    why_not: str | None = None


@dataclass(frozen=True)
class RewriteStep:
    """One exact transformation of an export model in place; yields how many modules changed."""

    name: str
    why: str
    apply: Callable[[ExportModel], int]
    why_not: str = "the model has nothing of the kind"


def rewrite(
    detector: Detector,
    variant: AttentionVariant = "packed",
    swap_attention: bool = True,
    form: GraphForm = PLAIN,
) -> tuple[ExportModel, tuple[StepProof, ...]]:
    """Rewrite a detector for export and prove every step.

    Args:
        detector: in any mode; not changed.
        variant: tensor layout of attention and head.
        swap_attention: False leaves the scale beside the product, as published.
        form: of the other parts of the graph.

    Returns:
        the export model with float64 weights, and one proof a step.

    Raises:
        ExportError: a step changed the numbers by more than rounding.
    """
    reference = copy.deepcopy(detector).double().eval().set_attention("explicit")
    model = ExportModel(copy.deepcopy(reference.model), ROUTES).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    probe = torch.rand(PROOF_SHAPE, generator=generator, dtype=torch.float64)
    expected, blocks = _observe(reference, probe)
    proofs = []
    for step in _steps(variant, swap_attention, form):
        with torch.no_grad():
            changed = step.apply(model)
        output, stepped = _observe(model, probe)
        difference = (output - expected).abs()
        proof = StepProof(
            step=step.name,
            why=step.why,
            changed=changed,
            box_error=float(difference[:, :4].max()),
            score_error=float(difference[:, 4:].max()),
            block_error=max(_relative_error(stepped[name], blocks[name]) for name in stepped),
            why_not=None if changed else step.why_not,
        )
        # A NaN compares false with everything, so ask for what must hold.
        if not (
            proof.box_error <= PROOF_TOLERANCE
            and proof.score_error <= PROOF_TOLERANCE
            and proof.block_error <= BLOCK_TOLERANCE
        ):
            raise ExportError(
                f"rewrite step {step.name!r} moved boxes by {proof.box_error:.2g} px, scores by "
                f"{proof.score_error:.2g} and a block by {proof.block_error:.2g} of its output",
                "check the checkpoint for non-finite or extreme weights with: yolov12edge inspect",
            )
        proofs.append(proof)
    return model, tuple(proofs)


def _observe(model: nn.Module, probe: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Decoded output and what every layer (but the head) and attention block yields, by path."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and not isinstance(module, forms.Absorbed):
                outputs[name] = output

        return hook

    handles = [
        module.register_forward_hook(keep(name))
        for name, module in model.named_modules()
        if name.count(".") == 1 or name.endswith(".attn")
    ]
    with torch.no_grad():
        decoded = model(probe)
    for handle in handles:
        handle.remove()
    outputs.pop(f"model.{len(model.get_submodule('model')) - 1}", None)  # type: ignore[arg-type]
    return decoded, outputs


def _relative_error(produced: Tensor, expected: Tensor) -> float:
    return float((produced - expected).norm() / expected.norm().clamp_min(1e-300))


def _steps(variant: AttentionVariant, swap_attention: bool, form: GraphForm) -> list[RewriteStep]:
    return [
        RewriteStep(
            "fold-batch-norm",
            "every batch norm moves into the convolution before it",
            fold_batch_norm,
        ),
        RewriteStep(
            "contiguous-qkv",
            "projection rows are regrouped so that q, k and v come out contiguous",
            lambda model: regroup_projections(model, variant),
        ),
        RewriteStep(
            "scale-into-query",
            "the softmax scale moves into the query weights, before the product",
            scale_queries if swap_attention else lambda model: 0,
            "--no-swap-attention leaves the scale beside the product",
        ),
        RewriteStep(
            "linear-decode",
            "box decoding becomes weighted sums over baked anchors",
            lambda model: linearise_decode(model, variant, form),
        ),
        *(step for (part, choice), step in FORM_STEPS.items() if getattr(form, part) == choice),
    ]


# In the order in which they are taken: wide convolutions are looked for last.
FORM_STEPS: dict[tuple[str, str], RewriteStep] = {
    ("stem", "cells"): RewriteStep(
        "cells-before-stem",
        "the first convolution reads cells of 2x2 pixels: 12 channels, none of them padding",
        forms.cells_before_stem,
    ),
    ("halves", "whole"): RewriteStep(
        "whole-halves",
        "a unit reads a whole map with zero weights for one half: nothing is cut or copied",
        forms.whole_halves,
    ),
    ("upsampling", "after"): RewriteStep(
        "grow-after-merge",
        "1x1 convolutions run on the coarse map, whose result is upsampled",
        lambda model: forms.grow_after_merge(model, transposed=False),
    ),
    ("upsampling", "transposed"): RewriteStep(
        "grow-after-merge",
        "1x1 convolution and upsampling of the coarse map in one transposed convolution",
        lambda model: forms.grow_after_merge(model, transposed=True),
    ),
    ("residuals", "subtract"): RewriteStep(
        "subtract-residuals",
        "branches of attention blocks yield their negative: their sums land in the join at once",
        forms.subtract_residuals,
    ),
    ("depthwise", "eights"): RewriteStep(
        "depthwise-in-eights",
        "depthwise convolutions in groups of eight, which the builder would pad channels to",
        forms.group_depthwise_by_eight,
        "no depthwise convolution has a multiple of eight channels",
    ),
    ("pointwise", "transposed"): RewriteStep(
        "transpose-wide-convolutions",
        "wide 1x1 convolutions stay convolutions instead of products with copies around them",
        forms.transpose_wide_convolutions,
        "no 1x1 convolution has 256 channels on both sides",
    ),
    ("activation", "tanh"): RewriteStep(
        "silu-by-tanh",
        "every SiLU by way of tanh, which builders may fuse into a convolution",
        lambda model: forms.say_activations(model, TanhSiLU),
    ),
    ("activation", "swish"): RewriteStep(
        "silu-as-swish",
        "every SiLU is one operator",
        lambda model: forms.say_activations(model, Swish),
    ),
}


def fold_batch_norm(model: ExportModel) -> int:
    """Fold batch norm into every Conv: W' = W g / s, b' = b - mean g / s, s = sqrt(var + eps)."""
    return replace(model, Conv, _fold)


def _fold(block: Conv) -> FoldedConv:
    return FoldedConv(fuse_conv_bn_eval(block.conv, block.bn), silu=isinstance(block.act, nn.SiLU))


def _convolution(weight: Tensor, bias: Tensor, like: nn.Conv2d) -> nn.Conv2d:
    """A convolution with the geometry of `like` and the given weight and bias."""
    with torch.device("meta"):
        conv = nn.Conv2d(
            weight.shape[1] * like.groups,
            weight.shape[0],
            (like.kernel_size[0], like.kernel_size[1]),
            (like.stride[0], like.stride[1]),
            (int(like.padding[0]), int(like.padding[1])),
            groups=like.groups,
        )
    conv.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    conv.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return conv


def regroup_projections(model: ExportModel, variant: AttentionVariant) -> int:
    """Replace area attention by its contiguous form, for both published layouts."""

    def regroup(block: AreaAttention) -> ContiguousAttention:
        return ContiguousAttention(
            _contiguous_projection(block),
            _folded(block.proj),
            _folded(block.pe),
            block.area,
            variant,
            HEAD_DIM**-0.5,
        )

    return replace(model, AreaAttention, regroup)


def _contiguous_projection(block: AreaAttention) -> FoldedConv:
    if block.layout == "v1":
        packed = _folded(block.qkv).conv
        # Row 96 h + 32 part + j of head h becomes row C part + 32 h + j.
        order = torch.arange(packed.out_channels).view(block.heads, 3, HEAD_DIM)
        rows = order.transpose(0, 1).flatten()
        weight, bias = packed.weight[rows], bias_of(packed)[rows]
        return FoldedConv(_convolution(weight, bias, packed), silu=False)
    qk, v = _folded(block.qk).conv, _folded(block.v).conv
    weight = torch.cat([qk.weight, v.weight])
    return FoldedConv(
        _convolution(weight, torch.cat([bias_of(qk), bias_of(v)]), like=qk), silu=False
    )


def scale_queries(model: ExportModel) -> int:
    """Multiply the query rows of every projection by 1/sqrt(32), drop the factor on the scores."""
    changed = 0
    for block in model.modules():
        if isinstance(block, ContiguousAttention):
            conv = block.qkv.conv
            conv.weight[: block.channels] *= block.scale
            bias_of(conv)[: block.channels] *= block.scale
            block.scale = 1.0
            changed += 1
    return changed


def linearise_decode(model: ExportModel, variant: AttentionVariant, form: GraphForm) -> int:
    """Replace the head by one that decodes with a single product, or with one sum a distance."""
    expectation = form.decoding == "expectation"
    return replace(
        model, DetectionHead, lambda head: ExportHead(head, variant, expectation=expectation)
    )


def _folded(block: nn.Module) -> FoldedConv:
    assert isinstance(block, FoldedConv)
    return block
