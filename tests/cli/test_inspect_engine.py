"""inspect on engines and with --diff."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from tests.cli.test_inspect import fits, inspect, write_plan
from tests.commands import Outcome, fails
from tests.samples import write_weights
from yolov12edge.cli import main
from yolov12edge.engine.inspector import ask_inspector
from yolov12edge.errors import UnsupportedError

__all__ = ["inspect"]

Run = Callable[..., Outcome]
ENGINES = Path(__file__).parents[1] / "engine" / "inspector"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, which no test changes."""
    folder = tmp_path_factory.mktemp("run")
    weights = write_weights(folder / "weights.safetensors")
    with pytest.raises(SystemExit) as left:
        main(
            ["export", "--weights", str(weights), "--imgsz", "64", "--fp32", "--quiet",
             "--target", "rtx-ampere", "--no-build", "--no-verify", "--no-bench",
             "--out", str(folder / "run")]
        )  # fmt: skip
    assert not left.value.code
    return folder / "run"


def test_engine_information_by_block(inspect: Run) -> None:
    path = ENGINES / "mobilenet_qat_8.json"
    times = ENGINES / "mobilenet_qat_8.profile.json"
    document = inspect(path, "--times", times, "--json").document
    assert (document["kind"], document["quantizers"]) == ("engine", 2)
    assert document["ms"] == pytest.approx(0.0390348, rel=1e-4)
    text = fits(inspect(path, "--times", times))
    assert "0, and 2 Q/DQ left standing, 0.020 ms together" in text
    assert "2 int8 (100.0%)" in text


@pytest.mark.parametrize(
    ("name", "fusion", "says"),
    [("mha_10", "fused", "1 of 1 attention"), ("yolo11_10", "split", "0 of 1 attention")],
)
def test_whether_attention_was_fused(inspect: Run, name: str, fusion: str, says: str) -> None:
    text = fits(inspect(ENGINES / f"{name}.json"))
    assert says in text
    assert fusion in text


def test_names_only_say_what_to_do(inspect: Run) -> None:
    text = fits(inspect(ENGINES / "names_8.4.json"))
    assert "--profiling-verbosity detailed" in text


def test_a_plan_with_its_layers_beside_it(inspect: Run, tmp_path: Path) -> None:
    plan = tmp_path / "engine.plan"
    write_plan(plan)
    assert inspect(plan, "--json").document["engine"] is None
    shutil.copy(ENGINES / "mha_10.json", tmp_path / "engine.plan.layers.json")
    document = inspect(plan, "--json").document
    assert document["engine"]["mha_kernels"] == 1
    text = fits(inspect(plan))
    assert "built for  SM86" in text
    assert "model.6.m.0.0.attn" in text
    given = inspect(plan, "--layers", ENGINES / "yolo12_11.json", "--json").document
    assert given["engine"]["attention"][0]["fusion"] == "split"


def test_other_json_is_refused(inspect: Run, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"Layers": []}')
    fails(inspect(other), 4, "there are no layers")
    other.write_text("{")
    fails(inspect(other), 4, "is no JSON")


class FakeTensorRt(SimpleNamespace):
    """As much of the library as asking its inspector needs; `loads` is whether a plan loads."""

    class ILogger:
        pass

    LayerInformationFormat = SimpleNamespace(JSON="json")
    __version__ = "10.13.3.9"
    loads = True

    def __hash__(self) -> int:
        return id(self)

    def Runtime(self, logger: Any) -> Any:
        def tell(kind: str) -> str:
            assert kind == "json"
            return (ENGINES / "mha_10.json").read_text()

        def deserialize(content: bytes) -> Any:
            if not self.loads:
                severity = SimpleNamespace(name="ERROR")
                logger.log(severity, "the engine was built for another GPU")
                return None
            inspector = SimpleNamespace(get_engine_information=tell)
            return SimpleNamespace(create_engine_inspector=lambda: inspector)

        return SimpleNamespace(deserialize_cuda_engine=deserialize)


def test_the_library_tells_the_layers(tmp_path: Path) -> None:
    plan = tmp_path / "engine.plan"
    write_plan(plan)
    library: Any = FakeTensorRt()
    told = ask_inspector(plan, "tensorrt_rtx", library)
    assert json.loads(told) == json.loads((ENGINES / "mha_10.json").read_text())
    library.loads = False
    with pytest.raises(UnsupportedError) as caught:
        ask_inspector(plan, "tensorrt_rtx", library)
    assert "built for another GPU" in caught.value.message


def test_layers_cannot_be_saved_without_a_gpu(inspect: Run, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    plan = tmp_path / "engine.plan"
    write_plan(plan)
    outcome = inspect(plan, "--save-layers", tmp_path / "layers.json")
    fails(outcome, 7, "engine.plan")
    assert not (tmp_path / "layers.json").exists()
    model = tmp_path / "m.onnx"
    model.write_bytes(b"x")
    fails(inspect(model, "--save-layers", tmp_path / "l.json"), 2, "--save-layers is for plans")


def differences(outcome: Outcome) -> dict[str, tuple[Any, Any]]:
    return {one["fact"]: (one["before"], one["after"]) for one in outcome.document["differences"]}


def test_the_same_file_has_no_difference(inspect: Run, folder: Path) -> None:
    path = folder / "model.onnx"
    outcome = inspect("--diff", path, path, "--json")
    assert outcome.document["differences"] == []
    assert outcome.document["same"] > 400
    assert "no difference" in inspect("--diff", path, path).out


def test_two_graphs(inspect: Run, folder: Path, tmp_path: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    product = next(n for n in model.graph.node if n.name.endswith("/mixed"))
    product.input[0], product.input[1] = product.input[1], product.input[0]
    weight = next(t for t in model.graph.initializer if len(t.dims) == 4)
    gone = weight.name
    weight.name = "renamed"
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == gone:
                node.input[index] = "renamed"
    other = tmp_path / "other.onnx"
    onnx.save(model, other)
    found = differences(inspect("--diff", folder / "model.onnx", other, "--json"))
    assert found["sha256"][0] != found["sha256"][1]
    assert found["constant renamed"][0] is None
    assert found[f"constant {gone}"] == (found["constant renamed"][1], None)
    block = product.name.replace("/mixed", "/weights")
    before, after = found[f"attention {block}"]
    assert before == "can be fused"
    assert "V stands on the left" in after
    assert found["lint attention-value"] == (None, 1)
    assert "operators Conv" not in found
    fits(inspect("--diff", folder / "model.onnx", other))


def test_two_engines(inspect: Run) -> None:
    paths = (ENGINES / "yolo12_11.json", ENGINES / "mha_10.json")
    found = differences(inspect("--diff", *paths, "--json"))
    assert found["attention model.6.m.0.0.attn"] == ("split", "fused")
    assert found["mha_kernels"] == (0, 1)
    assert found["model.0 weight_bytes"] == (2 * (432 + 16), None)
    text = fits(inspect("--diff", *paths))
    assert "split" in text


def test_two_plans(inspect: Run, tmp_path: Path) -> None:
    for name in ("a.plan", "b.plan"):
        write_plan(tmp_path / name)
    found = differences(inspect("--diff", tmp_path / "a.plan", tmp_path / "b.plan", "--json"))
    assert found == {}
    write_plan(tmp_path / "b.engine", b'{"imgsz": [640, 640]}')
    found = differences(inspect("--diff", tmp_path / "a.plan", tmp_path / "b.engine", "--json"))
    assert found["prefix_bytes"] == (0, 25)
    assert "plan_sha256" not in found


def test_two_run_folders(inspect: Run, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["model"]["scale"] = "s"
    (other / "manifest.json").write_text(json.dumps(manifest))
    found = differences(inspect("--diff", folder, other, "--json"))
    assert found == {"model scale": ("n", "s")}


def test_two_kinds_are_refused(inspect: Run, folder: Path) -> None:
    outcome = inspect("--diff", folder / "model.onnx", folder)
    fails(outcome, 2, "compares artifacts of one kind")
