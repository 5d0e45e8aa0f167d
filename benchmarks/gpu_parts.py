"""The parts of gpu.py: contenders, engines, the public exporter's graphs."""

from __future__ import annotations

import copy
import gc
import json
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from yolov12edge import build_model, load_model
from yolov12edge.bench import Contender
from yolov12edge.engine import BuildOptions, build_engine
from yolov12edge.engine.inspection import inspect_layers
from yolov12edge.engine.inspector import ask_inspector
from yolov12edge.errors import EdgeError, UnsupportedError
from yolov12edge.export import ExportOptions, export_onnx, probe_picture
from yolov12edge.model import Detector
from yolov12edge.model.attention import AreaAttention, flash_available
from yolov12edge.pipeline.stages.build import record_build
from yolov12edge.pipeline.stages.prediction import predict_plans
from yolov12edge.quantize import convert_to_fp16
from yolov12edge.run.gpus import Gpu, gpus_of
from yolov12edge.run.recipe import load_recipe
from yolov12edge.runtime import open_runner, tensorrt, tensorrt_rtx
from yolov12edge.runtime.runner import Runner

# For machines that only build: what the plan is made for when there is no GPU to ask.
SM_WITHOUT_GPU = 86
TURING = 75

_QUICK = "left out of a quick run"
# Fresh batch norms would leave every score near zero, where parity shows nothing.
LIVEN = """
def liven(model):
    import torch
    draw = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2, generator=draw)
            module.running_var.uniform_(0.5, 1.5, generator=draw)
            module.weight.data.uniform_(0.8, 1.6, generator=draw)
            module.bias.data.uniform_(-0.3, 0.3, generator=draw)
"""
# Has the public exporter write a checkpoint and graphs where this script looks for them.
PEER = (
    LIVEN
    + """
import sys, shutil
from pathlib import Path
import torch
from ultralytics import YOLO
folder, size = Path(sys.argv[1]), int(sys.argv[2])
for scale in sys.argv[4].split(","):
    torch.manual_seed(0)
    model = YOLO(f"yolo12{scale}.yaml")
    liven(model.model)
    checkpoint = folder / f"yolo12{scale}.pt"
    model.save(checkpoint)
    for batch in map(int, sys.argv[3].split(",")):
        path = YOLO(checkpoint).export(
            format="onnx", imgsz=size, batch=batch, opset=17, simplify=True, device="cpu"
        )
        shutil.move(path, folder / f"yolo12{scale}-b{batch}.onnx")
"""
)


@dataclass(frozen=True)
class Setup:
    """What a run of gpu.py was asked for.

    Attributes:
        device: "cuda" or "cpu".
        sm: the GPU's compute capability, 86 for SM 8.6; None without one.
        quick: small and short, to see that all of it works.
        public: folder of the public exporter's yolo12n.pt and yolo12n-b1.onnx, ...
        folder: for the files of this run.
        gpu: the GPU as its driver names it; None without one.
    """

    device: str
    sm: int | None
    quick: bool
    layout: str
    size: int
    public: Path | None
    folder: Path
    gpu: str | None = None


@dataclass
class Candidates:
    """Contenders of one scale and batch, what could not take part and why, and engines' layers."""

    contenders: list[Contender] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    fused: dict[str, dict[str, Any]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    plans: dict[str, Path] = field(default_factory=dict)

    def add(
        self, name: str, open_it: Callable[[], Runner], precision: str, path: Path | None
    ) -> None:
        """Open a contender and see that it runs; on failure remember why instead."""
        try:
            before = free_memory()
            runner = open_it()
            warm = np.zeros((runner.input_shape[0] or 1, *runner.input_shape[1:]), np.float32)
            runner(warm)
        except (EdgeError, RuntimeError, ImportError, AssertionError) as error:
            self.skipped[name] = first_line(error)
            gc.collect()
            return
        self.memory[name] = max(before - free_memory(), 0)
        self.contenders.append(Contender(name, runner, None, path, None, precision))

    def close(self) -> None:
        """Release every runner."""
        for contender in self.contenders:
            contender.runner.close()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class TorchVariant:
    """A detector in PyTorch the way one variant runs it; a Runner.

    Args:
        model: copied, so that variants do not meet.
        setup: device and size.
        half: float16 weights and input.
        attention: kernel, as Detector.set_attention names it.
        full: attention over the whole map instead of areas.
        compiled: through torch.compile; its plain backend on a quick run.
    """

    name = "torch"

    def __init__(
        self,
        model: Detector,
        setup: Setup,
        *,
        half: bool = False,
        attention: str = "sdpa",
        full: bool = False,
        compiled: bool = False,
    ) -> None:
        self.version = torch.__version__
        self.device = setup.device
        self.input_shape: tuple[int | None, int, int, int] = (None, 3, setup.size, setup.size)
        self.num_classes = model.architecture.num_classes
        self._dtype = torch.float16 if half else torch.float32
        model = copy.deepcopy(model).set_attention(attention)
        if attention == "flash" and not flash_available(torch.device(setup.device)):
            raise UnsupportedError("flash-attn needs its package and a GPU of SM 8.0 or later")
        for module in model.modules():
            if full and isinstance(module, AreaAttention):
                module.area = 1
        moved: Any = model.eval().to(setup.device, self._dtype)
        self._model = (
            torch.compile(moved, backend="eager" if setup.quick else "inductor")
            if compiled
            else moved
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(B, 3, H, W) in 0..1 to (B, 4 + classes, A), from host memory to host memory."""
        with torch.inference_mode():
            result = self._model(torch.from_numpy(images).to(self.device, self._dtype))
        return result.float().cpu().numpy()

    def close(self) -> None:
        """Forget the model."""
        del self._model
        torch._dynamo.reset()


def detector(setup: Setup, scale: str) -> Detector:
    """The public checkpoint where there is one, so that both graphs hold the same weights."""
    if setup.public is not None:
        suffixes = (".pt", ".safetensors")
        paths = [setup.public / f"yolo12{scale}{suffix}" for suffix in suffixes]
        return load_model(next((path for path in paths if path.is_file()), paths[0])).eval()
    torch.manual_seed(0)
    model = build_model(scale, setup.layout).eval()
    space: dict[str, Any] = {}
    exec(LIVEN, space)
    space["liven"](model)
    return model


def graphs(setup: Setup, model: Detector, scale: str, batch: int) -> tuple[dict[str, Path], dict]:
    """ONNX files by name, ours and the public exporter's, and those that could not be made."""
    found: dict[str, Path] = {}
    skipped: dict[str, str] = {}
    ours = setup.folder / f"ours-{scale}-b{batch}-{setup.size}.onnx"
    if not ours.is_file():
        export_onnx(model, ours, ExportOptions(setup.size, setup.size, batch=batch))
    found["ours fp32"] = ours
    shaped = setup.folder / f"shaped-{scale}-b{batch}-{setup.size}.onnx"
    if not shaped.is_file():
        recipe = load_recipe("turing" if setup.sm == TURING else "rtx-ampere")
        options = ExportOptions(
            setup.size, setup.size, batch=batch, variant=recipe.attention, form=recipe.graph
        )
        export_onnx(model, shaped, options)
    found["shaped fp32"] = shaped
    if setup.public is not None:
        public = setup.public / f"yolo12{scale}-b{batch}.onnx"
        if public.is_file():
            found["public fp32"] = public
        else:
            skipped["public fp32"] = f"no {public.name} in {setup.public}"
    for name, path in list(found.items()):
        half = name.replace("fp32", "fp16")
        if setup.quick and half != "ours fp16":
            skipped[half] = _QUICK
            continue
        target = setup.folder / f"{path.stem}.fp16.onnx"
        try:
            if not target.is_file():
                pictures = [probe_picture(setup.size, setup.size, seed)[0] for seed in range(4)]
                convert_to_fp16(path, target, pictures)
            found[half] = target
        except EdgeError as error:
            skipped[half] = first_line(error)
    return found, skipped


def candidates(setup: Setup, model: Detector, scale: str, batch: int) -> Candidates:
    """Everything that can run one scale at one batch size here."""
    entrants = Candidates()
    add_torch(entrants, setup, model)
    files, skipped = graphs(setup, model, scale, batch)
    entrants.skipped |= skipped
    for name, path in files.items():
        precision = name.split()[1]
        entrants.add(
            f"onnxruntime {name}",
            lambda path=path: onnxruntime_runner(path, setup),
            precision,
            path,
        )
    for backend in ("tensorrt", "tensorrt_rtx"):
        for name, path in files.items():
            add_engine(entrants, setup, backend, f"{backend} {name}", path)
    return entrants


def add_torch(entrants: Candidates, setup: Setup, model: Detector) -> None:
    """The reference: eager and compiled, with and without flash-attn."""
    variants: dict[str, tuple[str, dict[str, Any]]] = {
        "torch eager fp32": ("fp32", {}),
        "torch compile fp32": ("fp32", {"compiled": True}),
        "torch eager fp16, flash-attn": ("fp16", {"half": True, "attention": "flash"}),
        "torch eager fp16, sdpa": ("fp16", {"half": True}),
        "torch eager fp16, explicit": ("fp16", {"half": True, "attention": "explicit"}),
        "torch compile fp16": ("fp16", {"half": True, "compiled": True}),
    }
    for name, (precision, options) in variants.items():
        if setup.quick and name == "torch compile fp16":
            entrants.skipped[name] = _QUICK
            continue
        entrants.add(
            name, lambda options=options: TorchVariant(model, setup, **options), precision, None
        )


def onnxruntime_runner(path: Path, setup: Setup) -> Runner:
    return open_runner(path, "onnxruntime" if setup.device == "cpu" else "onnxruntime:cuda")


def add_engine(entrants: Candidates, setup: Setup, backend: str, name: str, path: Path) -> None:
    """Build a plan and, where there is a GPU, enter it; count its fused attention blocks."""
    if setup.quick and setup.sm is None and not name.endswith("ours fp32"):
        entrants.skipped[name] = _QUICK
        return
    try:
        plan = build_plan(setup, backend, path)
    except EdgeError as error:
        entrants.skipped[name] = first_line(error)
        return
    entrants.plans[name] = plan
    entrants.add(name, lambda: open_runner(plan), name.split()[-1], plan)
    with suppress(EdgeError):
        library = tensorrt if backend == "tensorrt" else tensorrt_rtx
        told = ask_inspector(plan, backend, library.load_library())
        layers = inspect_layers(json.loads(told, strict=False), str(plan))
        entrants.fused[name] = {
            "attention": len(layers.attention),
            "fused": layers.fused,
            "mha_kernels": layers.mha_kernels,
            "layers": len(layers.layers),
            "reformats": layers.reformats,
            "by_block": {block.name: block.fusion for block in layers.attention},
        }


def predictions(setup: Setup, entrants: Candidates, measured: dict[str, float]) -> dict[str, Any]:
    """What the model of time says of every plan, beside what was measured on the GPU alone."""
    gpu = table_gpu(setup)
    if gpu is None:
        return {"skipped": f"the table of GPUs has none like {setup.gpu}"}
    found: dict[str, Any] = {}
    for name, plan in entrants.plans.items():
        try:
            time = predict_plans([plan], gpu.name).artifacts[0].prediction
        except EdgeError as error:
            found[name] = {"skipped": first_line(error)}
            continue
        ms = measured.get(name)
        found[name] = {
            "gpu": gpu.name,
            "predicted_ms": time.predicted_ms,
            "measured_ms": ms,
            "ratio": time.predicted_ms / ms if ms else None,
            "launch_ms": time.launch_ms,
            "memory_ms": time.memory_ms,
            "compute_ms": time.compute_ms,
        }
    return found


def table_gpu(setup: Setup) -> Gpu | None:
    """The GPU of the table whose title has most words of the driver's name for this one."""
    words = set((setup.gpu or "").lower().split())
    alike = gpus_of(setup.sm or SM_WITHOUT_GPU)
    return max(alike, key=lambda gpu: len(words & set(gpu.title.lower().split())), default=None)


def build_plan(setup: Setup, backend: str, path: Path) -> Path:
    """The plan of a graph, built once; TensorRT-RTX builds without a GPU too."""
    plan = setup.folder / f"{path.stem}.{backend}.plan"
    if not plan.is_file():
        sms = (setup.sm or SM_WITHOUT_GPU,) if backend == "tensorrt_rtx" else ()
        record_build(path, build_engine(path, plan, backend, BuildOptions(sms)))
    return plan


def engine_runner(setup: Setup, model: Detector, scale: str, backend: str) -> Runner:
    """Our FP16 graph of one size and batch 1, built and opened.

    Raises:
        EdgeError: this machine cannot build or run it.
    """
    if setup.sm is None:
        raise UnsupportedError("a plan needs a GPU to run")
    files, skipped = graphs(setup, model, scale, 1)
    if "ours fp16" not in files:
        raise UnsupportedError(skipped["ours fp16"])
    return open_runner(build_plan(setup, backend, files["ours fp16"]))


def parity(setup: Setup, model: Detector, entrants: Candidates, batch: int) -> dict[str, Any]:
    """Largest error of boxes (pixels) and scores on one picture, against PyTorch in float32."""
    images = np.repeat(probe_picture(setup.size, setup.size), batch, axis=0)
    expected = TorchVariant(model, setup)(images)
    errors = {}
    for contender in entrants.contenders:
        found = contender.runner(images)
        if found.shape != expected.shape:
            errors[contender.name] = {"shape": list(found.shape)}
            continue
        gap = np.abs(found - expected)
        errors[contender.name] = {
            "box_px": float(gap[:, :4].max()),
            "score": float(gap[:, 4:].max()),
            "finite": bool(np.isfinite(found).all()),
        }
    return errors


def make_public(
    peer: Path, folder: Path, setup_size: int, batches: list[int], scales: list[str]
) -> None:
    """Have the public exporter, in a Python environment of its own, write its graphs."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = ",".join(map(str, batches))
    words = [str(folder.resolve()), str(setup_size), listed, ",".join(scales)]
    subprocess.run([str(peer), "-c", PEER, *words], check=True, cwd=folder)


def free_memory() -> int:
    """Bytes free on the GPU; 0 without one."""
    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else 0


def first_line(error: Exception) -> str:
    text = error.message if isinstance(error, EdgeError) else f"{type(error).__name__}: {error}"
    return text.splitlines()[0]
