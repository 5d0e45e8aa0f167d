"""The proof on a device: its self-test, its detections judged here, its time."""

from __future__ import annotations

import shlex
import uuid
from pathlib import Path

from yolov12edge.bench import BenchReport, Settings
from yolov12edge.bench.verdict import int8_text
from yolov12edge.errors import CheckpointError, EdgeError, GateFailed, UnsupportedError
from yolov12edge.evaluate import DriftReport
from yolov12edge.evaluate.elsewhere import judge_findings
from yolov12edge.evaluate.report import RuntimeVersion
from yolov12edge.pipeline.deploy.findings import (
    MOST_BYTES_OF_A_PICTURE,
    read_findings,
    split_runtime,
)
from yolov12edge.pipeline.deploy.payload import BUILD, BUNDLE, JUDGE, LIST, OUT, Payload
from yolov12edge.pipeline.deploy.probe import ROOM, read_state
from yolov12edge.pipeline.deploy.reference import Reference
from yolov12edge.pipeline.deploy.request import DeployRequest
from yolov12edge.pipeline.deploy.timing import MOST_BYTES, read_bench
from yolov12edge.pipeline.deploy.workshop import Workshop
from yolov12edge.remote.connection import script_words
from yolov12edge.remote.files import digest_of, fetch
from yolov12edge.run.device import DeviceProbe, Stage
from yolov12edge.run.names import PLAN_BACKENDS, PLAN_FILE

# The apps' exit codes: 10 and the number of a status, see docs/cpp.md.
_STATUS = {
    12: (CheckpointError, "run the same command again: what is missing is sent again"),
    13: (CheckpointError, "run the same command again: damaged files are sent again"),
    14: (CheckpointError, "run the same command again: what differs is sent again"),
    15: (UnsupportedError, "deploy with --clean and again: the plan is built anew"),
    16: (UnsupportedError, "the device has no GPU that this plan runs on: check its driver"),
    17: (UnsupportedError, "export for the target of this device: --target auto --probe FILE"),
    18: (UnsupportedError, "stop other programs there, or use a smaller model"),
    19: (GateFailed, "see the log in the device's folder of the run"),
    20: (GateFailed, "export in another precision: half precision may overflow on this device"),
}


def self_test(shop: Workshop, request: DeployRequest) -> None:
    """Run `selftest`.

    Raises:
        GateFailed: the device computes something else than was recorded.
        EdgeError: it could not run; the family tells why.
    """
    script = shlex.join(_program("selftest", request))
    result, seconds = shop.run("selftest", "self-test", _once(), script)
    said = [line for line in result.lines if line.strip()]
    last = said[-1].strip() if said else ""
    if result.code == 0:
        text = last.removeprefix("PASSED: ")
        shop.done(
            Stage(
                name="selftest", outcome=f"self-test passed: {text}", seconds=seconds, passed=True
            )
        )
        return
    shop.done(
        Stage(
            name="selftest",
            outcome=f"self-test failed: {last.removeprefix('FAILED: ')}",
            seconds=seconds,
            passed=False,
        )
    )
    if result.code == 1:
        first = next((line.strip() for line in said if "difference" in line), last)
        raise GateFailed(
            f"{shop.name} does not detect what was recorded: {first[:200]}",
            "see selftest.log in the device's folder of the run",
        )
    raise _status_error("selftest", result.code, shop.name, last)


def judge(
    shop: Workshop,
    payload: Payload,
    probe: DeviceProbe,
    reference: Reference,
    request: DeployRequest,
    stage: Path,
) -> tuple[DriftReport, str]:
    """Have the device detect on the pictures, and judge here what it found.

    Args:
        stage: takes what comes back.

    Returns:
        the verdict, and what ran there.

    Raises:
        EdgeError: it could not run; what it found makes no sense.
    """
    pictures = payload.pictures
    assert pictures is not None
    done = _findings_file(payload, pictures.digest, probe)
    words = [*_program("evaluate", request), "--list", f"{JUDGE}/{LIST}", "--out", done]
    script = f"mkdir -p {OUT}\n" + shlex.join(words)
    label = "detecting on the pictures"
    result, seconds = shop.run("evaluate", label, _once(), script)
    if result.code != 0:
        last = next((line for line in reversed(result.lines) if line.strip()), "")
        raise _status_error("evaluate", result.code, shop.name, last)
    most = (len(pictures.images) + 1) * MOST_BYTES_OF_A_PICTURE
    paths = {done: "found.jsonl"}
    brought = fetch(shop.connection, shop.folder, paths, stage, most, shop.progress)
    report = _judged(shop, payload, probe, reference, request, brought.get(done, stage / done))
    shop.done(
        Stage(
            name="drift",
            outcome=_drift_text(report),
            seconds=seconds,
            passed=report.gate.passed,
        )
    )
    return report, f"{report.judge.runtime} {report.judge.version}"


def _judged(
    shop: Workshop,
    payload: Payload,
    probe: DeviceProbe,
    reference: Reference,
    request: DeployRequest,
    found: Path,
) -> DriftReport:
    """The verdict on a file of detections."""
    pictures = payload.pictures
    assert pictures is not None
    truth = reference.truth()
    names = [one.file.name for one in pictures.files[:-1]]
    text, findings = read_findings(found, names, len(truth.names))
    runtime, version = split_runtime(text, payload.manifest.target.backend)
    return judge_findings(
        truth.findings,
        findings,
        pictures.images,
        pictures.dataset,
        truth.letterbox,
        truth.names,
        request.gate,
        truth.made_by,
        RuntimeVersion(runtime=runtime, version=version, device=f"{shop.name} ({probe.title})"),
    ).model_copy(update={"spread_over": pictures.spread_over})


def time_models(
    shop: Workshop,
    payload: Payload,
    probe: DeviceProbe,
    request: DeployRequest,
    stage: Path,
) -> BenchReport:
    """Time the model, in turn with the float one where it is INT8; clocks before and after.

    Raises:
        EdgeError: it could not run.
    """
    backend = payload.manifest.target.backend
    words = [*_program("bench", request), "--duration", str(request.seconds)]
    rival = payload.rival
    if rival is not None:
        words += ["--against", rival.folder]
    paths = {f"{OUT}/bench.json": "bench.json"}
    paths |= {f"{OUT}/{moment}": moment for moment in ("before", "after")}
    out = f"{OUT}/bench.json"
    state = shlex.join(script_words(ROOM, "state.sh"))
    script = (
        f"mkdir -p {OUT} && rm -f {' '.join(paths)}\n{state} >{OUT}/before\n"
        f"{shlex.join(words)} >{out}.part || exit\nmv -f {out}.part {out}\n{state} >{OUT}/after"
    )
    result, seconds = shop.run("bench", "timing", _once(), script)
    if result.code != 0:
        last = next((line for line in reversed(result.lines) if line.strip()), "")
        raise _status_error("bench", result.code, shop.name, last)
    brought = fetch(shop.connection, shop.folder, paths, stage, MOST_BYTES, shop.progress)
    (before, _), (after, cooling) = (
        read_state(brought[f"{OUT}/{moment}"].read_bytes()) for moment in ("before", "after")
    )
    built = backend in PLAN_BACKENDS
    models = [(PLAN_FILE if built else payload.model.onnx, payload.model)]
    if rival is not None:
        models.append((f"{rival.precision} plan" if built else rival.onnx, rival))
    settings = Settings(
        duration=request.seconds, window=0.0, rest_ms=0.0, threads=request.threads,
        interleaved=rival is not None,
    )  # fmt: skip
    report = read_bench(brought[out], models, backend, probe, settings, (before, after), cooling)
    first = report.artifacts[-1]
    text = f"{first.name}: {first.latency_ms.p50:.2f} ms, {first.throughput:.1f} images/s"
    if report.int8:
        text += f"; {int8_text(report.int8[0], report.artifacts)}"
    shop.done(Stage(name="bench", outcome=text, seconds=seconds))
    for line in report.doubts:
        shop.voice.warn(f"{shop.name}: {line}")
    for line in report.throttled:
        shop.voice.warn(f"{shop.name}: clocks were held down while timing: {line}")
    return report


def _findings_file(payload: Payload, pictures: str, probe: DeviceProbe) -> str:
    """Named by all that decides what is found, so that an interrupted run goes on with its own."""
    parts = [payload.model.sha256, pictures, payload.sources, str(probe.tensorrt)]
    return f"{OUT}/found-{digest_of(parts)[:16]}.jsonl"


def _program(name: str, request: DeployRequest) -> list[str]:
    threads = ["--threads", str(request.threads)] if request.threads else []
    return [f"{BUILD}/{name}", "--bundle", BUNDLE, *threads]


def _once() -> str:
    """The key of a step that every deploy does anew: a proof is of today."""
    return uuid.uuid4().hex


def _drift_text(report: DriftReport) -> str:
    gate = report.gate
    drop = "-" if report.drop is None else f"{report.drop:.2%}"
    matched = "-" if report.matched is None else f"{report.matched:.2%}"
    images = f"{report.images} images"
    if report.spread_over is not None:
        images = f"{report.images} of {report.spread_over} images"
    metric = {"map": "mAP", "self_map": "self-mAP"}[gate.metric]
    word = "passed" if gate.passed else "FAILED"
    return f"drift gate {word}: {metric} drop {drop}, {matched} found again, {images}"


def _status_error(program: str, code: int, host: str, said: str) -> EdgeError:
    text = said.removeprefix("error: ")[:200] or f"exit code {code}"
    if code in (126, 127):
        return UnsupportedError(
            f"{program} does not start on {host}: {text}",
            "is the runtime still where it was? Deploy with --clean, then again",
        )
    if code > 128:
        return UnsupportedError(
            f"{program} crashed on {host} with signal {code - 128}",
            "is its memory short, or the runtime broken? See the log in the device's folder",
        )
    family, hint = _STATUS.get(code, (UnsupportedError, "see the log in the device's folder"))
    return family(f"{program} on {host}: {text}", hint)
