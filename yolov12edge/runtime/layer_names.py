"""From the names that runtimes give their layers back to the blocks of the network.

Runtimes fuse nodes and name what comes out after them: `a + b`, `PWN(a)`, `{ForeignNode[a...b]}`,
`Reformatting CopyNode for Input Tensor 0 to a`, `a copy`, `a/WithoutBiases`, `a_myl0_7`,
`a_nchwc_kernel_time`. A block is a layer of the architecture: `model.6`. An attention is the module
inside it: `model.6.m.0.0.attn`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

# What belongs to no block: copies of inputs, layers that a runtime made up.
NOWHERE = "-"

_BLOCK = re.compile(r"(?<![A-Za-z0-9])model[._](\d+)(?!\d)")
_ATTENTION = re.compile(r"/?(model[._]\d[\w./]*?[./_]attn)(?=[./_]|$)")
_ONNX_LAYER = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_REFORMAT = re.compile(r"Reformatting CopyNode for \w+ Tensor \d+ (?:to|from) ")
_MYELIN = re.compile(r"_myl(\d+)_\d+$")
_SEPARATORS = re.compile(r" \+ | \|\| |\.\.\.|[\x1e\x1f]+")
_WRAPPERS = re.compile(r"^(?:PWN\(|\{ForeignNode\[)+|[)\]}]+$")


def nodes_of(name: str, metadata: str = "") -> tuple[str, ...]:
    """The graph nodes that a runtime's layer was made of.

    Args:
        name: the layer's own name.
        metadata: TensorRT's "[ONNX Layer: a][ONNX Layer: b]", which is exact where it is there.

    Example:
        >>> nodes_of("PWN(PWN(/model.9/act/Sigmoid), PWN(/model.9/act/Mul))")
        ('/model.9/act/Sigmoid', '/model.9/act/Mul')
    """
    exact = _ONNX_LAYER.findall(metadata)
    if exact:
        return tuple(dict.fromkeys(exact))
    bare = _REFORMAT.sub("", name).removesuffix(" copy")
    parts = [piece for part in _SEPARATORS.split(bare) for piece in part.split(", ")]
    stripped = [_WRAPPERS.sub("", part.strip()) for part in parts]
    return tuple(dict.fromkeys(part for part in stripped if part))


def block_of(nodes: Sequence[str]) -> str:
    """The block that most of the nodes belong to, the first among equals; NOWHERE if none does.

    Example:
        >>> block_of(["model.6.m.0.0.attn/scores", "model.6.m.0.0.attn/weights"])
        'model.6'
    """
    counts = Counter(f"model.{found[1]}" for node in nodes if (found := _BLOCK.search(node)))
    return counts.most_common(1)[0][0] if counts else NOWHERE


def attention_of(node: str) -> str | None:
    """Path of the attention that a node belongs to, with dots; None outside of attention.

    Example:
        >>> attention_of("/model_10/m/m_0/attn/MatMul_myl109_2")
        'model.10.m.m.0.attn'
    """
    found = _ATTENTION.match(node)
    return re.sub(r"[/_.]", ".", found[1]) if found else None


def myelin_region(name: str) -> str | None:
    """Which of TensorRT's compiled regions a layer belongs to: "109" of `__myl_Add_myl109_6`."""
    found = _MYELIN.search(name)
    return found[1] if found else None


def block_order(block: str) -> tuple[int, str]:
    """Sorts blocks as the network runs them, NOWHERE last."""
    number = block.removeprefix("model.")
    return (int(number), "") if number.isdecimal() else (1 << 30, block)
