"""`deploy`: a run folder onto devices, several at once, and their proofs back into it."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolov12edge.errors import EdgeError, UsageError
from yolov12edge.files import check_writable, write_bytes
from yolov12edge.pipeline.deploy.device import DeviceJob
from yolov12edge.pipeline.deploy.payload import Payload, gather
from yolov12edge.pipeline.deploy.probe import ask_probe
from yolov12edge.pipeline.deploy.record import keep
from yolov12edge.pipeline.deploy.reference import Reference
from yolov12edge.pipeline.deploy.request import DeployRequest
from yolov12edge.remote import Address, Connection
from yolov12edge.run.device import DeviceProbe, DeviceRecord
from yolov12edge.run.manifest import read_manifest
from yolov12edge.run.names import DEVICES_FOLDER, MANIFEST_FILE
from yolov12edge.run.recipe import Recipe, load_recipe
from yolov12edge.voice import Progress, Voice

FOLDER = "yolov12edge"


@dataclass(frozen=True)
class DeviceOutcome:
    """What became of one device.

    Attributes:
        name: of its folder in the run.
        record: None where nothing came back.
        error: why it ended early, or what it does not pass.
    """

    name: str
    record: DeviceRecord | None
    error: EdgeError | None


@dataclass(frozen=True)
class DeployOutcome:
    """A finished deploy."""

    run: Path
    devices: tuple[DeviceOutcome, ...]

    def document(self) -> dict[str, Any]:
        """What --json prints."""
        return {
            "run": str(self.run),
            "devices": {
                one.name: {
                    "folder": str(self.run / DEVICES_FOLDER / one.name) if one.record else None,
                    "passed": one.error is None,
                    "error": one.error and {"message": one.error.message, "hint": one.error.hint},
                    "record": one.record and one.record.model_dump(mode="json"),
                }
                for one in self.devices
            },
        }

    def raise_if_failed(self) -> None:
        """Raise the error of the first device that has one."""
        for one in self.devices:
            if one.error is not None:
                raise one.error


def deploy_run(request: DeployRequest, voice: Voice, progress: Progress) -> DeployOutcome:
    """Carry a run to devices.

    Raises:
        EdgeError: it cannot be begun: no run folder, images or a checkpoint that are missing. What
            goes wrong with one device is in its outcome, and the others go on.
    """
    names = _names(request.to)
    manifest = read_manifest(request.run)
    check_writable(request.run / DEVICES_FOLDER / MANIFEST_FILE)
    recipe = _recipe(manifest.target.name)
    with tempfile.TemporaryDirectory(prefix="yolov12edge-") as text:
        payload = gather(request, Path(text), progress)
        reference = Reference(request, payload, progress)
        if payload.pictures is not None:
            reference.check()
        else:
            voice.warn(
                "drift is not judged on the device: no images; pass --data data.yaml or "
                "--images DIR"
            )
        jobs = [
            _job(address, name, request, payload, reference, recipe, voice, progress)
            for name, address in names.items()
        ]
        return DeployOutcome(request.run, tuple(_carry_out(jobs)))


def probe_devices(
    to: Sequence[Address], library: str | None, config: Path | None
) -> dict[str, DeviceProbe]:
    """Probe devices and nothing more, by name.

    Raises:
        EdgeError: one cannot be reached, or does not answer.
    """
    found = {}
    for name, address in _names(to).items():
        with Connection(address, config) as connection:
            found[name] = ask_probe(connection, address.folder or FOLDER, library)
    return found


def write_probe(path: Path, probe: DeviceProbe) -> None:
    """Save a probe for `export --target auto --probe`."""
    write_bytes(path, probe.to_json().encode())


def _job(
    address: Address,
    name: str,
    request: DeployRequest,
    payload: Payload,
    reference: Reference,
    recipe: Recipe | None,
    voice: Voice,
    progress: Progress,
) -> DeviceJob:
    run = re.sub(r"[^\w.-]+", "-", request.run.resolve().name, flags=re.ASCII).strip("-.") or "run"
    folder = address.folder or f"{FOLDER}/{run}"
    return DeviceJob(address, name, folder, request, payload, reference, recipe, voice, progress)


def _carry_out(jobs: Sequence[DeviceJob]) -> list[DeviceOutcome]:
    """All at once; on Ctrl-C every one is stopped, and cleans up after itself."""
    writing = threading.Lock()
    with ThreadPoolExecutor(len(jobs)) as pool:
        futures = [pool.submit(_carry_one, job, writing) for job in jobs]
        try:
            # In pieces, so that Ctrl-C gets through.
            while wait(futures, timeout=0.2).not_done:
                pass
        except BaseException:
            for job in jobs:
                job.abort()
            wait(futures, timeout=30)
            raise
    return [_result(future) for future in futures]


def _carry_one(job: DeviceJob, writing: threading.Lock) -> DeviceOutcome:
    try:
        with job.run() as (stage, record, error):
            with writing:
                keep(job.request.run, job.name, stage, record)
            return DeviceOutcome(job.name, record, error)
    except EdgeError as error:
        return DeviceOutcome(job.name, None, error)


def _result(future: Future[DeviceOutcome]) -> DeviceOutcome:
    return future.result()


def _names(addresses: Sequence[Address]) -> dict[str, Address]:
    """Names of folders for the devices: their hosts, with a number where one is there twice.

    Raises:
        UsageError: none was named, or the same one twice.
    """
    if not addresses:
        raise UsageError("no device was named", "pass --to user@host")
    names: dict[str, Address] = {}
    for address in addresses:
        if address in names.values():
            raise UsageError(f"{address.login} is named twice", "name each device once")
        base = re.sub(r"[^\w.-]+", "-", address.host, flags=re.ASCII).strip("-.") or "device"
        name, number = base, 1
        while name in names:
            number += 1
            name = f"{base}-{number}"
        names[name] = address
    return names


def _recipe(name: str) -> Recipe | None:
    try:
        return load_recipe(name)
    except UsageError:
        return None
