"""Write the attribute lists of TensorRT's Python API that the adapter is tested against.

    python generate.py wheel 10.3.0 10.13.0.35 11.0.0.114       from NVIDIA's bindings on PyPI
    python generate.py sources 8.5.3 --checkout DIR             from a checkout of NVIDIA/TensorRT

A bindings wheel is about a megabyte and holds no TensorRT: the module in it is imported against
empty stand-ins of the libraries it is linked with, and asked what it has. The wheel has to exist
for the Python that runs this. Where there is none (8.5), the names are read from pybind11's
definitions in `python/src` of the release's tag; the same reading of 8.6.1 gives what its wheel
gives, which `--compare` checks.

The lists hold names and enumeration values only.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

# What a build, a run or an inspection touches.
CLASSES = (
    "Builder",
    "EngineInspector",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILayer",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IProfiler",
    "IProgressMonitor",
    "ITensor",
    "ITimingCache",
    "OnnxParser",
    "ParserError",
    "Runtime",
)
ENUMS = (
    "BuilderFlag",
    "DataType",
    "DeviceType",
    "ErrorCode",
    "HardwareCompatibilityLevel",
    "LayerInformationFormat",
    "LayerType",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "OnnxParserFlag",
    "ProfilingVerbosity",
    "TacticSource",
    "TensorIOMode",
)

# Every function the binding modules of 8.6 to 11 import from TensorRT's libraries.
STAND_IN = """
void *createInferBuilder_INTERNAL(void) { return 0; }
void *createInferRefitter_INTERNAL(void) { return 0; }
void *createInferRuntime_INTERNAL(void) { return 0; }
void *createNvOnnxParserRefitter_INTERNAL(void) { return 0; }
void *createNvOnnxParser_INTERNAL(void) { return 0; }
void *getBuilderPluginRegistry(void) { return 0; }
void *getPluginRegistry(void) { return 0; }
int getNvOnnxParserVersion(void) { return 0; }
int initLibNvInferPlugins(void) { return 0; }
void *_ZN11nvuffparser15createUffParserEv(void) { return 0; }
void _ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi(void) {}
void *_ZN14nvcaffeparser117createCaffeParserEv(void) { return 0; }
void _ZN14nvcaffeparser123shutdownProtobufLibraryEv(void) {}
"""
LIBRARIES = ("nvinfer", "nvonnxparser", "nvparsers", "nvinfer_plugin")


def main() -> None:
    """Parse the command line and write VERSION.json for each version."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", choices=["wheel", "sources", "import"])
    parser.add_argument("versions", nargs="+", metavar="VERSION")
    parser.add_argument("--checkout", type=Path, help="folder of NVIDIA/TensorRT at that tag")
    parser.add_argument("--compare", action="store_true", help="compare with the file, write none")
    asked = parser.parse_args()
    for version in asked.versions:
        if asked.source == "import":  # the child process of read_wheel
            print(json.dumps(ask_module(version)))
            continue
        if asked.source == "wheel":
            found = read_wheel(version)
        else:
            found = read_sources(asked.checkout, version)
        path = HERE / f"{version}.json"
        if asked.compare:
            compare(json.loads(path.read_text()), found)
        else:
            path.write_text(render(found))
            print(f"{path.name}: {found['source']}")


def read_wheel(version: str) -> dict[str, Any]:
    """Download the bindings wheel, import it against stand-ins in a child, list what it has."""
    package = "tensorrt-bindings" if version.startswith("8") else "tensorrt-cu12-bindings"
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        platforms = [f"--platform=manylinux_2_{glibc}_x86_64" for glibc in (17, 28)]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", *platforms, f"--dest={folder}", f"{package}=={version}"]
        subprocess.run(command, check=True)
        (wheel,) = folder.glob("*.whl")
        zipfile.ZipFile(wheel).extractall(folder)
        build_stand_ins(folder, version.split(".")[0])
        child = subprocess.run(
            [sys.executable, __file__, "import", version],
            env={"PYTHONPATH": str(folder), "LD_LIBRARY_PATH": str(folder)},
            check=True,
            capture_output=True,
            text=True,
        )
    return {"version": version, "source": f"wheel {package} {version}"} | json.loads(child.stdout)


def build_stand_ins(folder: Path, major: str) -> None:
    """Compile the empty libraries that the bindings are linked with."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        sys.exit("a C compiler is needed")
    (folder / "stand_in.c").write_text(STAND_IN)
    for name in LIBRARIES:
        soname = f"lib{name}.so.{major}"
        command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{soname}", "stand_in.c"]
        subprocess.run([*command, "-o", soname], cwd=folder, check=True)


def ask_module(version: str) -> dict[str, Any]:
    """What the imported bindings have."""
    library = importlib.import_module("tensorrt_bindings")
    if library.__version__ != version:
        sys.exit(f"the wheel of {version} says it is {library.__version__}")
    names = sorted(name for name in dir(library) if not name.startswith("_"))
    return {
        "names": names,
        "enums": {
            name: {key: int(value) for key, value in getattr(library, name).__members__.items()}
            for name in ENUMS
            if hasattr(library, name)
        },
        "classes": {
            name: members_of(getattr(library, name)) for name in CLASSES if hasattr(library, name)
        },
    }


def members_of(kind: type) -> dict[str, list[str]]:
    """Methods and properties of a class and of its bases."""
    members: dict[str, Any] = {}
    for base in reversed(kind.__mro__[:-1]):
        members.update(vars(base))
    public = {name: value for name, value in members.items() if not name.startswith("_")}
    properties = {name for name, value in public.items() if isinstance(value, property)}
    methods = {name for name, value in public.items() if callable(value)}
    nested = {name for name, value in public.items() if isinstance(value, type)}
    return {
        "methods": sorted(methods - nested),
        "properties": sorted(properties),
        "read_only": sorted(name for name in properties if public[name].fset is None),
    }


_OPENING = re.compile(r'py::(class|enum)_<[^"]{0,300}?[({]\s*\w+\s*,\s*"(\w+)"')
_METHOD = re.compile(r'\.def\(\s*"([a-zA-Z]\w*)"')
_STATIC = re.compile(r'\.def_static\(\s*"([a-zA-Z]\w*)"')
_PROPERTY = re.compile(r'\.def_(property|property_readonly|readwrite|readonly)\(\s*"([a-zA-Z]\w*)"')
_VALUE = re.compile(r'\.value\(\s*"(\w+)"')


def read_sources(checkout: Path, version: str) -> dict[str, Any]:
    """Names from the pybind11 definitions; enumeration values are not in them and stay null."""
    enums: dict[str, dict[str, None]] = {}
    classes: dict[str, dict[str, list[str]]] = {}
    package = checkout / "python" / "packaging" / "tensorrt" / "__init__.py"
    names = set(re.findall(r"^def (\w+)", package.read_text(encoding="utf-8"), re.MULTILINE))
    for path in sorted((checkout / "python" / "src").rglob("*.cpp")):
        text = re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))
        openings = list(_OPENING.finditer(text))
        ends = [*(opening.start() for opening in openings[1:]), len(text)]
        for opening, end in zip(openings, ends, strict=False):
            statement = text[opening.start() : end]
            kind, name = opening.groups()
            names.add(name)
            if kind == "enum" and name in ENUMS:
                enums.setdefault(name, {}).update(dict.fromkeys(_VALUE.findall(statement)))
            elif kind == "class" and name in CLASSES:
                properties = {found: how for how, found in _PROPERTY.findall(statement)}
                read_only = [found for found, how in properties.items() if "readonly" in how]
                classes[name] = {
                    "methods": sorted({*_METHOD.findall(statement), *_STATIC.findall(statement)}),
                    "properties": sorted(properties),
                    "read_only": sorted(read_only),
                }
    return {
        "version": version,
        "source": f"pybind11 definitions of NVIDIA/TensorRT at tag {version}",
        "names": sorted(names),
        "enums": {name: enums[name] for name in sorted(enums)},
        "classes": {name: classes[name] for name in sorted(classes)},
    }


def compare(wheel: dict[str, Any], sources: dict[str, Any]) -> None:
    """Print every member of a class or enumeration that only one of the two readings has."""
    problems = 0
    for part in ("enums", "classes"):
        for name in sorted({*wheel[part], *sources[part]}):
            one, other = (flat(listing[part].get(name, {})) for listing in (wheel, sources))
            for member in sorted(one ^ other):
                problems += 1
                print(f"{name}.{member}: only in the {'wheel' if member in one else 'sources'}")
    print(f"{problems} differences")


def flat(entry: dict[str, Any]) -> set[str]:
    """Member names of an enumeration or a class."""
    if "methods" in entry:
        return {*entry["methods"], *entry["properties"]}
    return set(entry)


def render(found: dict[str, Any]) -> str:
    """JSON with one line an enumeration or class, so that versions can be compared by eye."""
    parts = []
    for key, value in found.items():
        if isinstance(value, dict):
            lines = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in value.items()]
            parts.append(f" {json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n }")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
