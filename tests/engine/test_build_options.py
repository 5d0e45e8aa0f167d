from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolov12edge.engine import BatchRange
from yolov12edge.errors import UsageError


@given(st.lists(st.integers(1, 1000), min_size=3, max_size=3).map(sorted))
def test_a_range_reads_back_what_it_prints(numbers: list[int]) -> None:
    batch = BatchRange(*numbers)
    assert BatchRange.parse(str(batch)) == batch


def test_one_number_is_a_fixed_batch() -> None:
    assert BatchRange.parse("4") == BatchRange(4, 4, 4)
    assert BatchRange.parse("4").fixed


@pytest.mark.parametrize("text", ["0", "-1", "1:2", "4:2:8", "1:9:8", "a:b:c", "", "1:2:3:4", "²"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        BatchRange.parse(text)
    assert "1:4:8" in caught.value.hint
