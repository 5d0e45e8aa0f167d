"""Area attention: every kernel gives the same numbers, and areas never see each other."""

from __future__ import annotations

import sys
import types

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from tests.skips import NO_GPU
from yolov12edge.errors import UnsupportedError, UsageError
from yolov12edge.model import attention
from yolov12edge.model.attention import AreaAttention, join_areas, split_areas


def randomised(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if value.dtype.is_floating_point:
            noise = torch.rand(value.shape, generator=generator)
            value.copy_(noise + 0.5 if "var" in name else (noise - 0.5) * 0.5)
    return module.eval()


def token_loop(block: AreaAttention, x: Tensor) -> Tensor:
    """The definition, one query at a time in float64, written without the module's helpers."""
    batch, channels, height, width = x.shape
    tokens, heads = height * width, channels // 32
    if block.layout == "v1":
        packed = block.qkv(x).reshape(batch, heads, 96, tokens)
        q, k, v = packed[:, :, :32], packed[:, :, 32:64], packed[:, :, 64:]
    else:
        packed = block.qk(x).reshape(batch, 2, heads, 32, tokens)
        q, k = packed[:, 0], packed[:, 1]
        v = block.v(x).reshape(batch, heads, 32, tokens)
    mixed = torch.empty(batch, heads, 32, tokens, dtype=x.dtype)
    size = tokens // block.area
    for token in range(tokens):
        area = slice(token // size * size, token // size * size + size)
        scores = torch.einsum("bhd,bhdt->bht", q[..., token], k[..., area]) / 32**0.5
        mixed[..., token] = torch.einsum("bht,bhdt->bhd", scores.softmax(-1), v[..., area])
    values = v.reshape(batch, channels, height, width)
    return block.proj(mixed.reshape(batch, channels, height, width) + block.pe(values))


@pytest.mark.parametrize("layout", ["v1", "turbo"])
@pytest.mark.parametrize("backend", ["sdpa", "explicit", "auto"])
@pytest.mark.parametrize(("area", "size"), [(1, (3, 5)), (4, (4, 6)), (4, (6, 10))])
def test_every_kernel_computes_the_definition(
    layout: str, backend: str, area: int, size: tuple[int, int]
) -> None:
    block = randomised(AreaAttention(64, area, layout, 7 if layout == "v1" else 5)).double()
    assert isinstance(block, AreaAttention)
    block.kernel = attention.attention_kernel(backend)
    x = torch.randn(2, 64, *size, dtype=torch.float64)
    torch.testing.assert_close(block(x), token_loop(block, x), rtol=0, atol=1e-12)


@given(
    area=st.sampled_from([1, 2, 4]),
    count=st.integers(1, 12),
    heads=st.integers(1, 3),
    batch=st.integers(1, 3),
)
@settings(deadline=None)
def test_areas_split_and_join_without_loss(area: int, count: int, heads: int, batch: int) -> None:
    tokens = torch.arange(batch * heads * 32 * area * count).reshape(batch, area * count, heads, 32)
    pieces = split_areas(tokens, area)
    assert pieces.shape == (batch * area, heads, count, 32)
    assert torch.equal(pieces[area - 1, 0, :, 0], tokens[0, (area - 1) * count :, 0, 0])
    assert torch.equal(join_areas(pieces, area), tokens)


@pytest.mark.parametrize("layout", ["v1", "turbo"])
@pytest.mark.parametrize("area", [1, 4])
def test_memory_layout_changes_neither_numbers_nor_the_kernels_fast_path(
    layout: str, area: int
) -> None:
    block = randomised(AreaAttention(64, area, layout, 5))
    x = torch.randn(2, 64, 4, 6)

    def stored_heads(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        # Fused kernels fall back to slow ones unless each head's channels lie side by side.
        assert q.stride(3) == k.stride(3) == v.stride(3) == 1
        return attention.sdpa_attention(q, k, v)

    block.kernel = stored_heads
    expected = block(x)
    last = block.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, expected)


def test_a_change_in_one_area_leaves_the_other_areas_alone() -> None:
    block = randomised(AreaAttention(32, 4, "turbo", 5))
    torch.nn.init.zeros_(block.pe.bn.weight)  # the position term looks across areas by design
    x = torch.randn(1, 32, 8, 4)
    changed = x.clone()
    changed[:, :, :2] += 1
    difference = (block(x) - block(changed)).abs().amax(dim=(0, 1, 3))
    assert (difference[:2] > 1e-3).all()
    assert (difference[2:] == 0).all()


def test_unknown_backend_lists_the_valid_ones() -> None:
    with pytest.raises(UsageError, match="'fast'") as caught:
        attention.attention_kernel("fast")
    assert "sdpa" in caught.value.hint


def test_flash_without_the_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    attention._flash_kernel.cache_clear()
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    q = torch.zeros(1, 1, 4, 32)
    with pytest.raises(UnsupportedError, match="flash-attn") as caught:
        attention.flash_attention(q, q, q)
    assert "pip install" in caught.value.hint
    attention._flash_kernel.cache_clear()


def test_flash_is_called_with_tokens_before_heads_in_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrapper against a stand-in of the documented signature; the kernel needs a GPU."""

    def documented(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        assert q.dtype == k.dtype == v.dtype == torch.float16
        swapped = (x.transpose(1, 2).float() for x in (q, k, v))
        return functional.scaled_dot_product_attention(*swapped).transpose(1, 2).half()

    module = types.ModuleType("flash_attn")
    module.flash_attn_func = documented  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flash_attn", module)
    attention._flash_kernel.cache_clear()
    q, k, v = (torch.randn(2, 3, 7, 32) for _ in range(3))
    flash = attention.flash_attention(q, k, v)
    attention._flash_kernel.cache_clear()
    assert flash.dtype == torch.float32
    torch.testing.assert_close(flash, attention.explicit_attention(q, k, v), rtol=0, atol=5e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
def test_flash_on_a_gpu_equals_the_explicit_product() -> None:
    capability = torch.cuda.get_device_capability()
    if not attention.flash_available(torch.device("cuda")):
        pytest.skip(NO_GPU if capability < (8, 0) else "no flash-attn")
    q, k, v = (torch.randn(2, 8, 400, 32, device="cuda").half() for _ in range(3))
    torch.testing.assert_close(
        attention.flash_attention(q, k, v), attention.explicit_attention(q, k, v), rtol=0, atol=4e-3
    )
