"""The house keeps its order: imports run downward, stages do not know each other."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Collection
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "yolov12edge"
FLOORS = (
    {"__main__"},
    {"cli"},
    {"pipeline"},
    {"export", "quantize", "engine", "evaluate", "bench", "train", "page"},
    {"runtime", "model", "checkpoints", "data", "fakequant"},
    {"run", "graph", "remote"},
    {
        *("voice", "documents", "thresholds", "errors", "files", "download", "libraries"),
        *("boxes", "tables", "interrupts", "allocator", "processor", "__init__"),
    },
)
# Inside the pipeline too imports run downward: jobs join stages, a report inspects a run.
JOBS = (
    {"deploy"},
    {"export", "report", "bundle", "training", "predict", "doctor"},
    {"inspect", "stages"},
    {"images", "cache"},
)
# On the floor of libraries, who may use whom: the runtimes run models on images.
NEIGHBOURS = {"runtime": {"model", "checkpoints", "data"}, "checkpoints": {"model"}}
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60
OPTIONAL = (
    "onnxruntime",
    "tensorrt",
    "tensorrt_rtx_bindings",
    "openvino",
    "modelopt",
    "flash_attn",
    "pynvml",
)


def imports_of(path: Path) -> set[str]:
    """Dotted names a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor(name: str, floors: tuple[set[str], ...] = FLOORS) -> int:
    return next(index for index, rooms in enumerate(floors) if name in rooms)


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


def needed_by(path: Path, known: Collection[str]) -> set[str]:
    """Files of the package that have to be there before `path` can be imported."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module in known:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & set(known) or {node.module}
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_room_is_on_a_floor() -> None:
    known = set().union(*FLOORS)
    assert {room(path) for path in FILES} - {"cpp"} <= known


def test_imports_run_downward_only() -> None:
    wrong = []
    for path in FILES:
        here = room(path)
        if here in ("cpp", "__init__"):
            continue
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] != "yolov12edge" or len(parts) == 1 or parts[1] == here:
                continue
            there = parts[1]
            beside = floor(there) == floor(here) and there not in NEIGHBOURS.get(here, set())
            if floor(there) < floor(here) or (beside and floor(here) < len(FLOORS) - 1):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


def test_imports_run_downward_inside_the_pipeline() -> None:
    wrong = []
    pipeline = PACKAGE / "pipeline"
    for path in sorted(pipeline.rglob("*.py")):
        here = path.relative_to(pipeline).parts[0].removesuffix(".py")
        if here == "__init__":
            continue
        for name in imports_of(path):
            parts = name.split(".")
            if parts[:2] != ["yolov12edge", "pipeline"] or len(parts) < 3 or parts[2] == here:
                continue
            if floor(parts[2], JOBS) <= floor(here, JOBS):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


def test_files_do_not_go_in_circles() -> None:
    known = {dotted(path): path for path in FILES}
    needs = {name: needed_by(path, known) for name, path in known.items()}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_optional_libraries_live_in_one_file_each() -> None:
    users = defaultdict(set)
    for path in FILES:
        for name in imports_of(path):
            if name.split(".")[0] in OPTIONAL:
                users[name.split(".")[0]].add(str(path.relative_to(PACKAGE)))
    assert {library: len(files) for library, files in users.items()} == dict.fromkeys(users, 1)
    assert users.keys() == set(OPTIONAL)


def test_files_are_short() -> None:
    sources = [*FILES, *(PACKAGE / "cpp").rglob("*.[ch]pp"), *(PACKAGE / "cpp").rglob("*.c[u]")]
    long = [
        str(path.relative_to(PACKAGE))
        for path in sources
        if "third_party" not in path.parts
        and len(path.read_text(encoding="utf-8").splitlines()) > MOST_LINES
    ]
    assert long == []


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef, path: Path) -> int:
    """Lines of a function; of a command those after its signature, which is a table of options."""
    assert function.end_lineno is not None
    command = room(path) == "cli" and function.name == "command"
    first = function.body[0].lineno if command else function.lineno
    return function.end_lineno - first + 1


def test_functions_are_short() -> None:
    long = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and lines_of(node, path) > MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


def test_nothing_takes_code_from_the_trainers() -> None:
    assert not any(
        name.split(".")[0] == "ultralytics" for path in FILES for name in imports_of(path)
    )
