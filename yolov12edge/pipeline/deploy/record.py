"""What a deploy leaves in the run folder: a folder for each device, an entry in the manifest.

The documents are gathered aside and moved into place together; the manifest comes last.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from yolov12edge.files import readable_size, sha256_file, write_bytes
from yolov12edge.interrupts import interrupts_held
from yolov12edge.run.device import DeviceRecord
from yolov12edge.run.folder import RunFolder
from yolov12edge.run.manifest import read_manifest
from yolov12edge.run.names import DEVICE_FILE, DEVICES_FOLDER


@contextmanager
def staged(run: Path) -> Iterator[Path]:
    """A folder to gather what comes back in; it is gone afterwards, unless it was moved."""
    with tempfile.TemporaryDirectory(prefix=".deploy-", suffix=".part", dir=run) as folder:
        yield Path(folder)


def keep(run: Path, name: str, stage: Path, record: DeviceRecord) -> Path:
    """Move the gathered documents into the run folder, and enter the device in the manifest.

    Returns:
        the device's folder.
    """
    write_bytes(stage / DEVICE_FILE, (record.model_dump_json(indent=2) + "\n").encode())
    final = RunFolder(run).device(name)
    manifest = read_manifest(run)
    prefix = f"{DEVICES_FOLDER}/{name}/"
    files = {one: digest for one, digest in manifest.files.items() if not one.startswith(prefix)}
    files |= {
        f"{prefix}{path.name}": sha256_file(path)
        for path in sorted(stage.iterdir())
        if path.is_file() and not path.name.startswith(".")
    }
    updated = manifest.model_copy(
        update={"files": files, "devices": manifest.devices | {name: record.section}}
    )
    with interrupts_held():
        if final.is_dir():
            shutil.rmtree(final)
        final.mkdir(parents=True)
        for path in sorted(stage.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                path.replace(final / path.name)
        updated.write(run)
    return final


def size_text(size: int | None) -> str:
    """A size that may not be known."""
    return "?" if size is None else readable_size(size)
