"""The run folder: whole or untouched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import snapshot
from yolov12edge.errors import UsageError
from yolov12edge.run.folder import (
    main_artifact,
    staged_folder,
)
from yolov12edge.run.names import OWN_FILES


def fill(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    return folder


def test_a_new_run_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    final = fill(tmp_path / "run", model_onnx="old", engine_plan="old", drift_json="old")
    fill(final, notes_txt="mine", manifest_json="old")
    with staged_folder(final) as stage:
        fill(stage, model_onnx="new", manifest_json="new")
        assert (final / "engine.plan").read_text() == "old"
        assert stage.parent == final  # On the same disk, so that a rename is enough.
    assert snapshot(final) == {
        "manifest.json": b"new",
        "model.onnx": b"new",
        "notes.txt": b"mine",
    }


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_run_leaves_the_old_one(tmp_path: Path, error: type[BaseException]) -> None:
    final = fill(tmp_path / "run", model_onnx="old", manifest_json="old")
    before = snapshot(tmp_path)
    with pytest.raises(error), staged_folder(final) as stage:  # noqa: PT012
        fill(stage, model_onnx="new")
        raise error
    assert snapshot(tmp_path) == before


def test_a_failed_run_leaves_no_new_folders(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), staged_folder(tmp_path / "a/b/c") as stage:  # noqa: PT012
        fill(stage, model_onnx="new")
        raise RuntimeError
    assert snapshot(tmp_path) == {}


@pytest.mark.parametrize("name", OWN_FILES)
def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_moves(
    tmp_path: Path, name: str
) -> None:
    final = fill(tmp_path / "run", manifest_json="old", model_onnx="old")
    (final / name).unlink(missing_ok=True)
    (final / name).mkdir()
    before = snapshot(tmp_path)
    with pytest.raises(UsageError, match="is a folder"), staged_folder(final) as stage:
        fill(stage, model_onnx="new", manifest_json="new", drift_json="new")
    assert snapshot(tmp_path) == before


def test_the_manifest_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Power may fail at any file: the old manifest then still tells on the new files."""
    moved = []
    replace = Path.replace

    def watch(self: Path, target: Path) -> Path:
        moved.append(self.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watch)
    with staged_folder(tmp_path / "run") as stage:
        fill(stage, drift_json="", manifest_json="", model_onnx="", zebra_txt="")
    assert sorted(moved[:-1]) == ["drift.json", "model.onnx", "zebra.txt"]
    assert moved[-1] == "manifest.json"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for final in (tmp_path / "file", tmp_path / "file/run", Path("/proc/yolov12edge")):
        with pytest.raises(UsageError), staged_folder(final):
            pass
    assert snapshot(tmp_path) == {"file": b"mine"}


def test_the_main_artifact_is_the_most_processed_one(tmp_path: Path) -> None:
    for name in ("model.onnx", "model.fp16.onnx", "model.int8.onnx"):
        (tmp_path / name).touch()
        assert main_artifact(tmp_path) == tmp_path / name
    assert main_artifact(tmp_path / "model.onnx") == tmp_path / "model.onnx"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no artifact"):
        main_artifact(tmp_path / "empty")
    with pytest.raises(UsageError, match="no such file"):
        main_artifact(tmp_path / "nothing")
