"""What is kept of what TensorRT says."""

from __future__ import annotations

from yolov12edge.runtime.tensorrt_log import Captured


def test_of_ten_thousand_details_only_the_last_marked_ones_are_kept() -> None:
    said = Captured(marked="LayerType: ")
    for number in range(100):
        said.add("VERBOSE", f"Tactic {number}")
        said.add("VERBOSE", f"Name: {number}, LayerType: kgen")
    assert said.details == [f"Name: {number}, LayerType: kgen" for number in range(92, 100)]
    assert (said.warnings, said.errors) == ([], [])


def test_nothing_but_warnings_and_errors_is_kept_unasked() -> None:
    said = Captured()
    said.add("VERBOSE", "Name: a, LayerType: kgen")
    said.add("INFO", "built")
    said.add("WARNING", "LayerType: odd\n  twice")
    said.add("WARNING", "LayerType: odd  twice")
    said.add("ERROR", "failed")
    assert (said.details, said.warnings, said.errors) == ([], ["LayerType: odd twice"], ["failed"])
