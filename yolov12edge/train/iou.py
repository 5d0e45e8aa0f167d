"""Complete IoU of box pairs, differentiable."""

from __future__ import annotations

import math

import torch
from torch import Tensor

EPS = 1e-7


def complete_iou(first: Tensor, second: Tensor) -> Tensor:
    """CIoU (arXiv:1911.08287) of boxes pair by pair, at most 1: IoU - rho^2/c^2 - alpha v.

    rho is the distance of the centres, c the diagonal of the smallest box around both, v the
    difference of the aspect ratios. As published, no gradient flows through alpha and the guards
    against division by zero sit on heights, union and c^2.

    Args:
        first: (..., 4) xyxy, sides not negative.
        second: the same shape and unit.

    Returns:
        (...).
    """
    left, top, right, bottom = first.unbind(-1)
    other_left, other_top, other_right, other_bottom = second.unbind(-1)
    width, height = right - left, bottom - top + EPS
    other_width, other_height = other_right - other_left, other_bottom - other_top + EPS

    overlap_width = (right.minimum(other_right) - left.maximum(other_left)).clamp(min=0)
    overlap_height = (bottom.minimum(other_bottom) - top.maximum(other_top)).clamp(min=0)
    intersection = overlap_width * overlap_height
    union = width * height + other_width * other_height - intersection + EPS
    iou = intersection / union

    around_width = right.maximum(other_right) - left.minimum(other_left)
    around_height = bottom.maximum(other_bottom) - top.minimum(other_top)
    diagonal = around_width.square() + around_height.square() + EPS
    shift_x = other_left + other_right - left - right
    shift_y = other_top + other_bottom - top - bottom
    distance = (shift_x.square() + shift_y.square()) / 4

    turn = torch.atan(other_width / other_height) - torch.atan(width / height)
    aspect = 4 / math.pi**2 * turn.square()
    with torch.no_grad():
        alpha = aspect / (aspect - iou + 1 + EPS)
    return iou - distance / diagonal - alpha * aspect
