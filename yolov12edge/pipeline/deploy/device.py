"""One device from probe to proof."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from yolov12edge.bench import BenchReport
from yolov12edge.bench.verdict import int8_text
from yolov12edge.errors import EdgeError, GateFailed, Interrupted, UnsupportedError
from yolov12edge.evaluate import DriftReport
from yolov12edge.files import readable_size, write_bytes, write_json
from yolov12edge.pipeline.deploy.compiling import compile_programs
from yolov12edge.pipeline.deploy.payload import JUDGE, OUT, OWN_ENTRIES, RIVAL, Payload
from yolov12edge.pipeline.deploy.plans import (
    BuiltThere,
    build_plans,
    describe_plan,
    layers_path,
)
from yolov12edge.pipeline.deploy.probe import ask_probe
from yolov12edge.pipeline.deploy.proof import judge, self_test, time_models
from yolov12edge.pipeline.deploy.record import size_text, staged
from yolov12edge.pipeline.deploy.reference import Reference
from yolov12edge.pipeline.deploy.request import DeployRequest
from yolov12edge.pipeline.deploy.workshop import Workshop
from yolov12edge.pipeline.stages.verify import accuracy_of
from yolov12edge.remote import Address, Connection, ConnectionBroken
from yolov12edge.remote.files import TransferError, fetch, send
from yolov12edge.remote.hold import Hold, this_side
from yolov12edge.remote.steps import log_path
from yolov12edge.run.device import (
    DeviceProbe,
    DeviceRecord,
    Stage,
    arithmetic_doubt,
    doubts,
    obstacles,
)
from yolov12edge.run.manifest import DeviceSection, EngineSection, now
from yolov12edge.run.names import BENCH_FILE, DRIFT_FILE, PLAN_BACKENDS, PLAN_FILE
from yolov12edge.run.recipe import Recipe
from yolov12edge.voice import Progress, Voice

# A plan is about as large as its ONNX file; with room for what a builder adds.
_PLAN_FACTOR, _PLAN_BASE = 6, 256 << 20
_MOST_LOGS = 128 << 20
# Programs, plans and what compiling needs for a while, beside what is sent.
_ROOM = 200 << 20
_LOGS = ("compile", "trtexec", "trtexec-float", "selftest", "evaluate", "bench")


@dataclass
class Findings:
    """What was found out about a device so far."""

    drift: DriftReport | None = None
    bench: BenchReport | None = None
    runtime: str | None = None
    built: list[BuiltThere] = field(default_factory=list)
    failure: EdgeError | None = None
    plan: EngineSection | None = None
    attention: str | None = None


@dataclass
class DeviceJob:
    """A deploy to one device.

    Attributes:
        name: of its folder in the run.
        folder: there.
    """

    address: Address
    name: str
    folder: str
    request: DeployRequest
    payload: Payload
    reference: Reference
    recipe: Recipe | None
    voice: Voice
    progress: Progress

    def __post_init__(self) -> None:
        self._connection = Connection(self.address, self.request.config)
        self._shop = Workshop(
            self._connection, self.folder, self.name, self.voice, self.progress, self.request.log
        )

    def abort(self) -> None:
        """End what runs, from another thread."""
        self._connection.abort()

    @contextlib.contextmanager
    def run(self) -> Iterator[tuple[Path, DeviceRecord, EdgeError | None]]:
        """Carry it out.

        Yields:
            a folder of documents to keep, what to write about them, and why it ended early or did
            not pass; None where all went well.

        Raises:
            EdgeError: there is nothing to keep: no connection, an unfit device.
        """
        with self._connection, staged(self.request.run) as stage:
            probe = ask_probe(self._connection, self.folder, self.request.library)
            self._check(probe)
            found = Findings()
            with Hold(self._connection, self.folder, this_side()):
                try:
                    self._work(probe, found, stage)
                except (ConnectionBroken, TransferError):
                    # Nothing was found out that is worth more than what an earlier deploy left.
                    raise
                except Interrupted:
                    self._connection.revive()
                    self._shop.stop()
                    raise
                except EdgeError as error:
                    found.failure = error
                found.failure = self._bring_back(probe, found, stage) or found.failure
                self._tidy(found)
                yield stage, self._record(probe, found), found.failure

    def _check(self, probe: DeviceProbe) -> None:
        shop = self._shop
        library = probe.library(self.payload.manifest.target.backend)
        shop.done(Stage(name="probe", outcome=describe(probe)))
        problems = obstacles(self.payload.manifest.target.backend, probe)
        if problems:
            message, hint = problems[0]
            raise UnsupportedError(message.replace(probe.hostname, self.name, 1), hint)
        assert library is not None or self.payload.manifest.target.backend in PLAN_BACKENDS
        for line in self._doubts(probe):
            shop.voice.warn(f"{self.name}: {line.replace(probe.hostname, 'it')}")
        needed = self.payload.size + _ROOM
        if probe.disk_free is not None and probe.disk_free < needed:
            shop.voice.warn(
                f"{self.name}: {readable_size(probe.disk_free)} of its disk are free, about "
                f"{readable_size(needed)} are needed"
            )

    def _doubts(self, probe: DeviceProbe) -> tuple[str, ...]:
        """Where the device is not what the run was made for."""
        wrong = arithmetic_doubt(self.payload.manifest.precision.products, probe)
        found = doubts(self.recipe, probe) if self.recipe else []
        return (*found, *([wrong] if wrong else []))

    def _work(self, probe: DeviceProbe, found: Findings, stage: Path) -> None:
        shop, payload, request = self._shop, self.payload, self.request
        pictures = payload.pictures
        files = [*payload.files, *(pictures.files if pictures else ())]
        sent = send(self._connection, self.folder, files, self.progress)
        rest = len(files) - sent.files
        text = f"{sent.files} files sent, {readable_size(sent.size)}"
        text += f"; {rest} were there" if rest else ""
        shop.done(Stage(name="send", outcome=text))
        if payload.manifest.target.backend == "tensorrt":
            found.built = build_plans(shop, payload, probe, self.recipe, request)
        compile_programs(shop, payload, probe, request.library)
        self_test(shop, request)
        if pictures is not None:
            found.drift, found.runtime = judge(shop, payload, probe, self.reference, request, stage)
            if not found.drift.gate.passed:
                found.failure = GateFailed(
                    f"{payload.model.onnx} drifted on {self.name}: {found.drift.gate.reasons[0]}",
                    f"see devices/{self.name}/{DRIFT_FILE}; does it pass here? yolov12edge verify "
                    f"{request.run}",
                )
        if request.bench:
            found.bench = time_models(shop, payload, probe, request, stage)

    def _bring_back(self, probe: DeviceProbe, found: Findings, stage: Path) -> EdgeError | None:
        """Plans, layers and logs; also of a deploy that failed, as far as they are there."""
        for path in stage.iterdir():
            path.unlink()
        try:
            logs = {log_path(name): f"{name}.log" for name in _LOGS}
            fetch(self._connection, self.folder, logs, stage, _MOST_LOGS, self.progress)
            self._bring_plan(probe, found, stage)
        except Interrupted:
            raise
        except EdgeError as error:
            if found.failure is None and isinstance(error, (ConnectionBroken, TransferError)):
                raise
            if found.failure is None:
                return error
        if found.drift is not None:
            write_bytes(stage / DRIFT_FILE, found.drift.to_json().encode())
        if found.bench is not None:
            write_json(stage / BENCH_FILE, found.bench.model_dump(mode="json"))
        return None

    def _bring_plan(self, probe: DeviceProbe, found: Findings, stage: Path) -> None:
        built = next((one for one in found.built if one.model.folder != RIVAL), None)
        if built is None:
            return
        model, layers = built.model, layers_path(built.model)
        most = _PLAN_FACTOR * model.size + _PLAN_BASE
        wanted = {model.plan: PLAN_FILE, layers: "layers.json"}
        brought = fetch(self._connection, self.folder, wanted, stage, most, self.progress)
        if model.plan not in brought:
            raise UnsupportedError(
                f"the plan is gone from {self.name}", "does something clean up its disk?"
            )
        section, fusion = describe_plan(
            self.name, stage, stage / PLAN_FILE, brought.get(layers), built, self.payload, probe
        )
        if layers in brought:
            brought[layers].unlink()
        found.plan, found.attention = section, fusion.text
        self._shop.done(Stage(name="plan", outcome=f"{PLAN_FILE} came back: {fusion.text}"))
        for warning in fusion.warnings:
            self.voice.warn(f"{self.name}: {warning}")

    def _tidy(self, found: Findings) -> None:
        """Leave on the device what it needs, or nothing where that was asked for."""
        with contextlib.suppress(EdgeError):
            if self.request.clean:
                # Only what is a deploy's own: the folder may hold more, or be a home folder.
                self._shop.remove(OWN_ENTRIES)
                self._connection.run(["rmdir", "--", self.folder])
                self.voice.info(f"{self.name}: what was in {self.folder} was removed there")
            elif not self.request.keep and found.failure is None:
                self._shop.remove([JUDGE, OUT, "incoming"])

    def _record(self, probe: DeviceProbe, found: Findings) -> DeviceRecord:
        bench, drift = found.bench, found.drift
        created = now()
        runtime = found.runtime
        if runtime is None and bench is not None:
            runtime = f"{bench.artifacts[-1].runtime} {bench.artifacts[-1].version}"
        section = DeviceSection(
            host=self.address.login,
            title=probe.title,
            runtime=runtime,
            created=created,
            passed=found.failure is None,
            failure=found.failure.message if found.failure else None,
            accuracy=accuracy_of(drift) if drift else None,
            attention=found.attention,
            int8=int8_text(bench.int8[0], bench.artifacts) if bench and bench.int8 else None,
            plan=found.plan,
        )
        return DeviceRecord(
            host=self.address.login,
            folder=self.folder,
            target=self.payload.manifest.target.name,
            created=created,
            probe=probe,
            doubts=self._doubts(probe),
            stages=tuple(self._shop.stages),
            section=section,
        )


def describe(probe: DeviceProbe) -> str:
    """A device in one line."""
    parts = [probe.title, f"{probe.architecture}, {probe.cores} cores, {size_text(probe.memory)}"]
    if probe.jetpack:
        parts.append(f"JetPack {probe.jetpack}")
    if probe.power_mode:
        parts.append(f"power mode {probe.power_mode}")
    if probe.gpu:
        parts.append(probe.gpu)
    for title, version in (
        ("TensorRT", probe.tensorrt),
        ("OpenVINO", probe.library("openvino")),
        ("ONNX Runtime", probe.library("onnxruntime")),
    ):
        if version:
            parts.append(f"{title} {version}")
    return ", ".join(parts)
