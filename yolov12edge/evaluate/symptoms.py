"""Where an error seems to start, told from the outputs alone."""

from __future__ import annotations

from dataclasses import asdict

from yolov12edge.data.letterbox import Letterbox
from yolov12edge.evaluate.report import TensorError

# Noise of a tenth of the signal: INT8 detectors that keep their accuracy stay above it.
WRONG_BELOW_DB = 20.0


def symptoms(
    tensors: dict[str, TensorError] | None,
    levels: dict[str, dict[str, TensorError]] | None,
    reference: Letterbox,
    artifact: Letterbox,
) -> list[str]:
    """One line for each thing that points to where an artifact went wrong.

    Args:
        tensors: errors of "boxes" and "scores" on equal input; None if they were not compared.
        levels: the same by level.
        reference: the reference's letterbox.
        artifact: the artifact's.
    """
    notes = []
    changed = [
        f"{name} {value} instead of {asdict(reference)[name]}"
        for name, value in asdict(artifact).items()
        if value != asdict(reference)[name]
    ]
    if changed:
        notes.append(f"the artifact prepares images differently: {', '.join(changed)}")
    if tensors is None:
        notes.append("its outputs could not be compared number by number with the reference's")
        return notes
    wrong = {name for name, error in tensors.items() if _wrong(error)}
    where = _where(levels or {})
    if not wrong:
        notes.append(
            "on equal input its outputs agree with the reference's"
            + (": look at the image preparation" if changed else f" ({_decibels(tensors)})")
        )
    elif wrong == {"boxes"}:
        notes.append(
            f"scores agree, boxes do not{where}: look at the box decoding (anchors, strides, bins)"
        )
    elif wrong == {"scores"}:
        notes.append(f"boxes agree, scores do not{where}: look at the class branch and its sigmoid")
    elif where:
        notes.append(f"boxes and scores are wrong{where}: look at what feeds that part of the head")
    else:
        notes.append(
            "boxes and scores are wrong at every level: the error starts before the head, in the "
            "attention or the convolutions"
        )
    return notes


def _wrong(error: TensorError) -> bool:
    return error.sqnr_db is not None and error.sqnr_db < WRONG_BELOW_DB


def _where(levels: dict[str, dict[str, TensorError]]) -> str:
    """ " at P4 only", or nothing when all levels or none are wrong."""
    wrong = [name for name, errors in levels.items() if any(map(_wrong, errors.values()))]
    if not wrong or len(wrong) == len(levels):
        return ""
    return f" at {' and '.join(wrong)} only"


def _decibels(tensors: dict[str, TensorError]) -> str:
    return ", ".join(
        f"{name} " + ("exactly" if error.sqnr_db is None else f"to {error.sqnr_db:.0f} dB")
        for name, error in tensors.items()
    )
