"""What pyproject.toml asks for is what the package imports, and no extra breaks another."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from tests.test_house import FILES, OPTIONAL, imports_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
# Libraries of an extra, by the distribution that has them.
EXTRAS = {
    "onnxruntime": "onnxruntime",
    "tensorrt": "tensorrt",
    "tensorrt_rtx_bindings": "tensorrt-rtx-cu13-bindings",
    "openvino": "openvino",
    "modelopt": "nvidia-modelopt",
    "flash_attn": "flash-attn",
    "pynvml": "nvidia-ml-py",
    "matplotlib": "matplotlib",
}


@pytest.fixture(scope="module")
def project() -> Any:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements: list[str]) -> set[str]:
    return {normalized(Requirement(one).name) for one in requirements}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> set[str]:
    """Foreign libraries that the package imports anywhere."""
    found = {name.split(".")[0] for path in FILES for name in imports_of(path)}
    return found - {"yolov12edge"} - sys.stdlib_module_names


def test_the_base_is_what_the_package_imports(project: Any) -> None:
    homes = metadata.packages_distributions() | {"google": ["protobuf"]}
    needed = {normalized(homes[name][0]) for name in imported() - EXTRAS.keys()}
    assert needed == names(project["dependencies"])


def test_what_is_optional_is_in_an_extra(project: Any) -> None:
    assert set(OPTIONAL) <= EXTRAS.keys() <= imported()
    extras = project["optional-dependencies"]
    offered = names([one for extra, needs in extras.items() if extra != "dev" for one in needs])
    assert set(EXTRAS.values()) <= offered
    assert not names(project["dependencies"]) & set(EXTRAS.values())


def test_every_gpu_extra_can_read_the_gpu_clocks(project: Any) -> None:
    for extra in ("gpu", "tensorrt", "rtx", "flash"):
        assert "nvidia-ml-py" in names(project["optional-dependencies"][extra])


def test_only_the_extras_for_it_bring_onnx_runtime(project: Any) -> None:
    """pip would lay the CPU's build over the user's GPU build, or the other way round."""
    brings = {
        extra: {name for name in closure(needs) if name.startswith("onnxruntime")}
        for extra, needs in (project["optional-dependencies"] | {"": []}).items()
        for needs in [[*needs, *project["dependencies"]]]
    }
    assert brings.pop("cpu") == {"onnxruntime"}
    assert brings.pop("gpu") == {"onnxruntime-gpu"}
    assert not any(brings.values()), brings


def closure(requirements: list[str]) -> set[str]:
    """Everything that requirements bring, as the installed distributions tell it."""
    found: set[str] = set()
    waiting = [Requirement(one) for one in requirements]
    while waiting:
        one = waiting.pop()
        if normalized(one.name) not in found:
            found.add(normalized(one.name))
            waiting += needed_by(one)
    return found


def needed_by(one: Requirement) -> Iterator[Requirement]:
    try:
        listed = metadata.requires(one.name) or []
    except metadata.PackageNotFoundError:
        return  # of an extra for another machine
    for needed in map(Requirement, listed):
        places = [default_environment() | {"extra": extra} for extra in ("", *one.extras)]
        if needed.marker is None or any(needed.marker.evaluate(place) for place in places):
            yield needed
