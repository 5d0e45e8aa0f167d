"""Which of several exact forms an exported graph takes: what a builder makes of them differs."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from yolov12edge.documents import Document

# The first ONNX opset that has Swish.
SWISH_OPSET = 24


class GraphForm(Document):
    """The parts of a graph that can be said in several ways; all of them compute the same.

    What each is worth on which builder is in docs/performance.md.

    Attributes:
        stem: the first convolution. "strided": 3x3 with stride 2. "cells": 2x2 over cells of 2x2
            pixels, which are 12 channels: builders pad 3 channels to 4 or 8.
        halves: how a C3k2's first unit gets its half of the map. "split": cut out. "whole": it
            reads all of it, with zero weights for the other half, and its residual moves into the
            merge after it; nothing is cut, and the merge's input is written in place.
        upsampling: of the map that a 1x1 convolution merges with a finer one. "before" it, as
            published. "after": the convolution runs on the coarse map and its result grows.
            "transposed": convolution and growth in one transposed convolution.
        residuals: of attention blocks. "subtract": the branch yields its negative, x - (-y). A
            convolution with an Add cannot write into a part of a join in TensorRT-RTX, with a Sub
            it can.
        pointwise: 1x1 convolutions of 256 and more channels on both sides. "transposed": as
            transposed convolutions, where the builder would make a matrix product with copies
            around it.
        depthwise: "channels": one group a channel. "eights": groups of eight with zeros between
            their channels, where the builder would pad every channel to eight.
        decoding: of boxes. "product": softmax over bins, then one matrix product. "expectation":
            softmax with bins innermost, weighted and summed, in one kernel.
        activation: how SiLU is said. "sigmoid-mul": x * sigmoid(x), which every builder knows.
            "tanh": x * (tanh(x / 2) / 2 + 1/2). "swish": the operator of ONNX opset 24.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    stem: Literal["strided", "cells"] = "strided"
    halves: Literal["split", "whole"] = "split"
    upsampling: Literal["before", "after", "transposed"] = "before"
    residuals: Literal["add", "subtract"] = "add"
    pointwise: Literal["convolution", "transposed"] = "convolution"
    depthwise: Literal["channels", "eights"] = "channels"
    decoding: Literal["product", "expectation"] = "product"
    activation: Literal["sigmoid-mul", "swish", "tanh"] = "sigmoid-mul"
