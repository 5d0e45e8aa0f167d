from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from yolov12edge.errors import UsageError
from yolov12edge.export import ATTENTION_VARIANTS
from yolov12edge.run import recipe as recipe_module
from yolov12edge.run.form import GraphForm
from yolov12edge.run.recipe import Recipe, list_recipes, load_recipe

REQUIRED = {
    "cpu-onnxruntime": ("onnxruntime", ()),
    "cpu-openvino": ("openvino", ()),
    "rtx-ampere": ("tensorrt_rtx", (86,)),
    "rtx-ada": ("tensorrt_rtx", (89,)),
    "rtx-blackwell": ("tensorrt_rtx", (120,)),
    "turing": ("tensorrt_rtx", (75,)),
    "tensorrt-local": ("tensorrt", ()),
    "orin-nano": ("tensorrt", (87,)),
    "orin-nx": ("tensorrt", (87,)),
    "agx-orin": ("tensorrt", (87,)),
    "xavier-nx": ("tensorrt", (72,)),
    "thor": ("tensorrt", (110,)),
    "t4": ("tensorrt", (75,)),
    "l4": ("tensorrt", (89,)),
    "h100": ("tensorrt", (90,)),
}
VALID = """\
name: mine
title: my box
backend: tensorrt
version: "10.3"
compute_capabilities: [86]
opset: 17
opset_ceiling: 20
precision:
  default: fp16
  allowed: [fp32, fp16]
attention: packed
build_hint: "trtexec --onnx={onnx} --saveEngine={plan} {flags}"
why:
  backend: a
  version: b
  opset: c
  precision: d
  attention: e
"""


def write(folder: Path, text: str, name: str = "mine") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def test_every_target_is_there_and_valid() -> None:
    assert set(list_recipes()) == set(REQUIRED)
    for name, (backend, capabilities) in REQUIRED.items():
        recipe = load_recipe(name)
        assert (recipe.backend, recipe.compute_capabilities) == (backend, capabilities), name


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_targets_keep_the_rules_of_their_runtime(name: str) -> None:
    recipe = load_recipe(name)
    if recipe.builds_engine:
        # Where the builder can be had, its own log chose; elsewhere the documented pattern stays.
        seen = recipe.backend == "tensorrt_rtx"
        assert recipe.attention == ("shared-rows" if seen else "packed")
        # TensorRT 11.2 and 11.3 may run there, and get a graph without the sums they get wrong.
        wary = name in ("thor", "tensorrt-local")
        assert (recipe.graph != GraphForm()) == (seen or wary) == (recipe.why.graph is not None)
        assert not wary or recipe.graph == GraphForm(halves="whole")
        assert recipe.precision.default == "fp16"
    if recipe.backend == "tensorrt_rtx" or (recipe.version or "").startswith("10"):
        assert recipe.strongly_typed
    if recipe.version == "8.5":
        assert not recipe.strongly_typed
        assert recipe.opset_ceiling == 17


def test_rtx_targets_are_what_the_library_can_build() -> None:
    library = pytest.importorskip("tensorrt_rtx_bindings")
    for name in list_recipes():
        recipe = load_recipe(name)
        if recipe.backend == "tensorrt_rtx":
            assert library.__version__.startswith(f"{recipe.version}.")
            for sm in recipe.compute_capabilities:
                assert f"SM{sm}" in library.ComputeCapability.__members__


def test_attention_names_are_the_exporters() -> None:
    assert recipe_module.Attention.__args__ == ATTENTION_VARIANTS  # type: ignore[attr-defined]


def test_the_jetson_recipes_follow_jetpack() -> None:
    for name in ("orin-nano", "orin-nx", "agx-orin"):
        assert (load_recipe(name).version, load_recipe(name).jetpack) == ("10.3", "6.1, 6.2")
    assert (load_recipe("xavier-nx").version, load_recipe("xavier-nx").jetpack) == ("8.5", "5.1")


def test_build_commands_carry_precision_only_where_the_graph_does_not() -> None:
    onnx, plan = Path("my models/model.fp16.onnx"), Path("engine.plan")
    xavier = load_recipe("xavier-nx").build_command(onnx, plan, "fp16")
    orin = load_recipe("orin-nano").build_command(onnx, plan, "fp16")
    assert xavier is not None
    assert orin is not None
    assert "--onnx='my models/model.fp16.onnx'" in xavier
    assert "--fp16" in xavier.split()
    assert "--stronglyTyped" in orin.split()
    assert "--fp16" not in orin
    assert load_recipe("cpu-openvino").build_command(onnx, plan, "fp32") is None


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(UsageError, match="no target named 'Orin-Nno'") as caught:
        load_recipe("Orin-Nno")
    assert caught.value.hint.startswith("did you mean orin-nano?")
    assert "xavier-nx" in caught.value.hint


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, VALID))
    assert recipe.name == "mine"
    assert recipe.compute_capabilities == (86,)


def test_swish_needs_a_tensorrt_that_reads_it(tmp_path: Path) -> None:
    text = VALID.replace("opset: 17", "opset: 24").replace("opset_ceiling: 20", "opset_ceiling: 24")
    text = text.replace("attention: packed\n", "attention: packed\ngraph: {activation: swish}\n")
    with pytest.raises(UsageError, match="activation swish needs TensorRT 11: name its version"):
        load_recipe(write(tmp_path, text))
    recipe = load_recipe(write(tmp_path, text.replace('"10.3"', '"11.1"')))
    assert recipe.graph.activation == "swish"


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("backend: tensorrt\n", "backend: tensorflow\n", 3, "backend: Input should be"),
        ("opset: 17\n", "opset: 12\n", 6, "greater than or equal to 13"),
        ("opset: 17\n", "opset: '17'\n", 6, "opset: Input should be a valid integer"),
        ("opset: 17\n", "opset: 21\n", 1, "opset 21 is above opset_ceiling 20"),
        ("attention: packed\n", "attention: packed\ngraph: {activation: gelu}\n", 12, "activation"),
        (
            "attention: packed\n",
            "attention: packed\ngraph: {activation: swish}\n",
            1,
            "activation swish needs opset 24, not 17",
        ),
        ("  default: fp16\n", "  default: fp8\n", 9, "precision.default"),
        ("  default: fp16\n", "  default: int8\n", 8, "default int8 is not in allowed"),
        ("[fp32, fp16]", "[fp32, int4]", 10, "precision.allowed.1"),
        ("  opset: c\n", "  opset: c\n  speed: x\n", 17, "unknown field why.speed"),
        ("attention: packed\n", "attention: packed\natention: x\n", 12, "unknown field atention"),
        ("attention: packed\n", "attention: packed\nvnni: true\n", 1, "vnni is a matter of CPUs"),
        ("title: my box\n", "", 1, "title is missing"),
        ("{flags}", "{precision}", 1, "unknown placeholders: ['precision']"),
        ("[86]", "[8.6]", 5, "compute_capabilities.0"),
        ("name: mine", "name: yours", 1, "'yours' is not the file's name"),
        ("title: my box\n", "title: my box\ntitle: other\n", 3, "title is given twice"),
        ("title: my box\n", "title: *box\n", 2, "aliases and deep nesting are refused"),
        ("title: my box\n", "title: [my box\n", 3, ""),
        ("title: my box\n", "title: !!python/name:os.system\n", 2, ""),
    ],
)
def test_errors_name_the_file_and_the_line(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    assert old in VALID
    path = write(tmp_path, VALID.replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        load_recipe(path)
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert says in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "text",
    ["", "- a\n- b\n", "just words", "[" * 2000, "a: &a [*a]", "? [a, b]\n: c\n", "a: 2001-99-99"],
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError):
        load_recipe(write(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(UsageError):
        load_recipe(tmp_path / "folder.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01" * 9)
    with pytest.raises(UsageError, match="not a text file"):
        load_recipe(tmp_path / "binary.yaml")


FIELDS = st.sampled_from([*Recipe.model_fields, "x"])
DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(FIELDS, inner),
    max_leaves=8,
)


@given(DOCUMENTS)
def test_any_document_is_a_recipe_or_a_usage_error(
    tmp_path_factory: pytest.TempPathFactory, document: object
) -> None:
    path = write(tmp_path_factory.mktemp("any"), yaml.safe_dump(document))
    with pytest.raises(UsageError):
        load_recipe(path)
