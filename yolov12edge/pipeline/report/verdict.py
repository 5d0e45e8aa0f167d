"""The verdict on a run, for somebody who has to decide whether to ship it."""

from __future__ import annotations

from yolov12edge.evaluate import DriftReport
from yolov12edge.page import Figure, Note, Verdict
from yolov12edge.page.parts import State
from yolov12edge.pipeline.report.documents import RunDocuments
from yolov12edge.pipeline.report.text import count, number, percent
from yolov12edge.run.names import PLAN_BACKENDS

METRICS = {"map": "mAP50-95", "self_map": "self-mAP50-95"}


def verdict(run: RunDocuments) -> Verdict:
    """Broken files first: figures of another file decide nothing. Then the gate."""
    figures = _figures(run)
    notes = _notes(run)
    if run.broken:
        names = ", ".join(f"{name} ({state})" for name, state in list(run.broken.items())[:8])
        sentence = (
            f"Do not ship: {count(len(run.broken), 'file')} of this folder "
            f"{'is' if len(run.broken) == 1 else 'are'} not what the manifest says: {names}. The "
            "figures below may belong to other files; restore them, or export the model again."
        )
        return Verdict("Files changed", "bad", sentence, figures, notes)
    drift = run.drift
    if drift is None:
        sentence = (
            f"Nobody knows yet whether {run.artifact.name} still detects what its checkpoint "
            "detects: its drift was not measured."
        )
        return Verdict("Not verified", "caution", sentence, figures, notes)
    if drift.gate.passed:
        return Verdict("Passed", "good", _meaning(run, drift), figures, notes)
    return Verdict("Failed", "bad", _meaning(run, drift), figures, notes)


def judge_text(drift: DriftReport) -> str:
    """Who ran the artifact, and who the reference."""
    judge, reference = drift.judge, drift.reference
    return (
        f"{judge.runtime} {judge.version}, against the checkpoint in {reference.runtime} "
        f"{reference.version}"
    )


def _meaning(run: RunDocuments, drift: DriftReport) -> str:
    """The outcome in one sentence: what it kept, of what, on what."""
    on = f"On {count(drift.images, 'image')}"
    on += " with labels" if drift.gate.metric == "map" and drift.objects is not None else ""
    kept = [] if drift.drop is None else [_kept(drift)]
    if drift.matched is not None:
        kept.append(f"finds {percent(drift.matched)} of its detections again")
    what = " and ".join(kept) or "was compared with its checkpoint"
    if drift.gate.passed:
        return f"{on}, {run.judged.name} {what}: within what the gate allows."
    return f"Do not ship: {run.judged.name} drifted from its checkpoint: {_reasons(drift)}."


def _reasons(drift: DriftReport) -> str:
    return "; ".join(drift.gate.reasons) or "the gate does not say why"


def _kept(drift: DriftReport) -> str:
    assert drift.drop is not None
    name = METRICS[drift.gate.metric].removesuffix("50-95")
    return f"keeps {percent(1 - drift.drop)} of its checkpoint's {name}"


def _figures(run: RunDocuments) -> tuple[Figure, ...]:
    drift = run.drift
    figures = []
    if drift is not None:
        gate = drift.gate
        interval = ""
        if drift.drop_interval is not None:
            low, high = drift.drop_interval
            interval = f"; 95% interval {percent(low)} to {percent(high)}"
        figures += [
            Figure(
                f"{METRICS[gate.metric]} drop",
                percent(drift.drop),
                f"at most {percent(gate.max_drop)}{interval}",
                _state(None if drift.drop is None else drift.drop <= gate.max_drop),
            ),
            Figure(
                "detections found again",
                percent(drift.matched),
                f"at least {percent(gate.min_matched)}",
                _state(None if drift.matched is None else drift.matched >= gate.min_matched),
            ),
        ]
        if drift.map_reference is not None:
            figures.append(
                Figure(
                    "mAP50-95",
                    number(drift.map_artifact, ".3f"),
                    f"checkpoint {number(drift.map_reference, '.3f')}",
                )
            )
        figures.append(
            Figure(
                "judge",
                drift.judge.runtime,
                f"{drift.judge.version}, on {count(drift.images, 'image')}",
            )
        )
    return tuple(figures)


def _state(passed: bool | None) -> State:
    return "" if passed is None else "good" if passed else "bad"


def _notes(run: RunDocuments) -> tuple[Note, ...]:
    drift, manifest = run.drift, run.manifest
    notes = []
    if drift is not None:
        if run.broken and not drift.gate.passed:
            notes.append(Note(f"The gate failed too: {_reasons(drift)}.", "bad"))
        notes += [Note(text, "" if drift.gate.passed else "caution") for text in drift.notes]
        notes += _doubts(drift)
        others = {k: v for k, v in manifest.accuracy.items() if k != run.judged.name}
        failed = [name for name, found in others.items() if not found.passed]
        if drift.gate.passed and failed:
            names = " and ".join(failed)
            notes.append(Note(f"When it was exported, {names} did not pass the gate.", "caution"))
    for name, device in sorted(manifest.devices.items()):
        if device.passed:
            judged = "its self-test and the drift gate" if device.accuracy else "its self-test"
            notes.append(Note(f"On the device {name} it passed {judged}.", "good"))
        else:
            reason = device.failure or "it does not say why"
            notes.append(Note(f"On the device {name} it did not pass: {reason}.", "bad"))
    proved = any(one.passed and one.accuracy for one in manifest.devices.values())
    if manifest.target.backend in PLAN_BACKENDS and run.judged == run.artifact and not proved:
        engine = manifest.engine
        what = f"{run.artifact.name}, from which the engine is built"
        notes.append(
            Note(
                f"What was judged is {what}, not the engine itself. On the device, verify "
                f"{engine.file if engine else 'the engine'} before it ships."
            )
        )
    return tuple(notes)


def _doubts(drift: DriftReport) -> list[Note]:
    """Where the figures are weaker than they look."""
    notes = []
    gate, interval = drift.gate, drift.drop_interval
    if gate.passed and interval is not None and interval[1] > gate.max_drop:
        notes.append(
            Note(
                f"The interval of the drop reaches {percent(interval[1])}, beyond the gate: on "
                "other images of this kind it might fail. More images narrow the interval.",
                "caution",
            )
        )
    if drift.nonfinite_images:
        notes.append(Note(f"{count(drift.nonfinite_images, 'image')} gave NaN or infinity.", "bad"))
    return notes
