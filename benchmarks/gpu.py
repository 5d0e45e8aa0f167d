"""Everything that can run YOLOv12 on this machine's GPU, side by side, in one command.

    python benchmarks/gpu.py --peer /path/of/an/environment/with/ultralytics/bin/python

PyTorch (eager, compiled, flash-attn on and off), ONNX Runtime's CUDA provider, TensorRT and
TensorRT-RTX, scales n to x, batch 1 and 8; our graph against the public exporter's from the same
weights by the same builder, with parity and fused attention blocks; predicted beside measured
times of plans; and the paper's own claims as ratios. What is not installed is skipped with its
reason. Writes gpu.json and gpu.md.

    python benchmarks/gpu.py --device cpu --quick      every step that needs no GPU, small and short

Without a GPU and without --device cpu it says so and leaves with exit code 7.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from gpu_parts import (
    Candidates,
    Setup,
    TorchVariant,
    candidates,
    detector,
    engine_runner,
    first_line,
    free_memory,
    make_public,
    parity,
    predictions,
)

from yolov12edge.bench import Contender, Settings, measure
from yolov12edge.errors import EdgeError, UnsupportedError
from yolov12edge.files import write_bytes, write_json
from yolov12edge.runtime.cuda import find_gpus

AIM = 0.8
LARGE = 2
RTX_3080 = "published for an RTX 3080, FP32"


def main() -> None:
    options = arguments()
    try:
        run(options)
    except EdgeError as error:
        print(f"error: {error.message}\nhint:  {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="small and short")
    parser.add_argument("--scales", default=None, help="n,s,m,l,x")
    parser.add_argument("--layout", default="v1", choices=("v1", "turbo"))
    parser.add_argument("--imgsz", type=int, default=None, help="640; 64 with --quick")
    parser.add_argument("--batches", default=None, help="1,8; 1,2 with --quick")
    parser.add_argument("--duration", type=float, default=None, help="seconds for each contender")
    parser.add_argument("--public", type=Path, help="folder of yolo12n.pt, yolo12n-b1.onnx, ...")
    parser.add_argument("--peer", type=Path, help="python that has ultralytics, to make them")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of gpu.json, gpu.md")
    options = parser.parse_args()
    quick = options.quick
    options.scales = (options.scales or ("n" if quick else "n,s,m,l,x")).split(",")
    options.imgsz = options.imgsz or (64 if quick else 640)
    batches = options.batches or ("1,2" if quick else "1,8")
    options.batches = [int(batch) for batch in batches.split(",")]
    options.duration = options.duration or (0.05 if quick else 5.0)
    return options


def run(options: argparse.Namespace) -> None:
    gpus = find_gpus()
    if options.device == "cuda" and not (gpus and torch.cuda.is_available()):
        missing = "no CUDA build of PyTorch" if gpus else "no NVIDIA GPU"
        raise UnsupportedError(
            f"this machine has {missing}",
            "run this on a machine with a CUDA GPU, or the parts without one: --device cpu --quick",
        )
    sm = gpus[0].compute_capability if gpus else None
    with tempfile.TemporaryDirectory(prefix="yolov12-gpu-") as name:
        folder = Path(name)
        public = options.public
        if options.peer is not None:
            public = public or folder / "public"
            make_public(options.peer, public, options.imgsz, options.batches, options.scales)
        setup = Setup(
            options.device,
            sm,
            options.quick,
            options.layout,
            options.imgsz,
            public,
            folder,
            gpus[0].name if gpus else None,
        )
        results = list(races(setup, options))
        claims = list(paper(setup, options))
    document = {
        "schema_version": 1,
        "device": options.device,
        "quick": options.quick,
        "races": results,
        "claims": claims,
        "aims": aims(results),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "gpu.json", document)
    write_bytes(options.out / "gpu.md", markdown(document).encode())
    print(f"written: {options.out / 'gpu.json'}, {options.out / 'gpu.md'}")


def settings(options: argparse.Namespace, batch: int, **changes: Any) -> Settings:
    """Host to host, with CUDA graphs for plans, unless changed."""
    plain = Settings(
        batch=batch,
        duration=options.duration,
        least_runs=4 if options.quick else 30,
        warmup_ms=0.0 if options.quick else 500.0,
        window=0.0 if options.quick else 1.0,
        cuda_graph=True,
    )
    return dataclasses.replace(plain, **changes)


def races(setup: Setup, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One race for each scale and batch size."""
    for scale in options.scales:
        model = detector(setup, scale)
        for batch in options.batches:
            say(f"scale {scale}, batch {batch}")
            entrants = candidates(setup, model, scale, batch)
            report = measure(entrants.contenders, settings=settings(options, batch))
            on_gpu = gpu_times(entrants, options, batch)
            yield {
                "scale": scale,
                "batch": batch,
                "imgsz": setup.size,
                "bench": report.model_dump(mode="json"),
                "on_gpu": on_gpu,
                "predicted": predictions(setup, entrants, on_gpu.get("p50_ms", {})),
                "parity": parity(setup, model, entrants, batch),
                "fused": entrants.fused,
                "memory": entrants.memory,
                "skipped": entrants.skipped,
            }
            entrants.close()


def gpu_times(entrants: Candidates, options: argparse.Namespace, batch: int) -> dict[str, Any]:
    """The plans once more without transfers, as trtexec 11 counts: comparable with published."""
    plans = [one for one in entrants.contenders if one.runner.name.startswith("tensorrt")]
    if not plans:
        return {}
    without = settings(options, batch, transfers=False, wait="spin", window=0.0)
    report = measure(plans, settings=without)
    return {
        "p50_ms": {one.name: one.latency_ms.p50 for one in report.artifacts},
        "ratios": [ratio.model_dump(mode="json") for ratio in report.ratios],
    }


def paper(setup: Setup, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The paper's claims, each as a ratio with its interval."""
    for scale in [scale for scale in options.scales if scale in "ns"]:
        model = detector(setup, scale)
        gain = {"n": 0.7, "s": 1.6}[scale]
        yield claim(
            f"{scale}: area attention against full attention, fp32",
            f"{gain} ms faster, {RTX_3080}",
            {
                "full": TorchVariant(model, setup, full=True),
                "area": TorchVariant(model, setup),
            },
            options,
        )
        yield flash(setup, model, scale, options)
        yield growth(setup, model, scale, options)


def claim(
    what: str, published: str, runners: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    """The last runner against the first, interleaved."""
    entries = [Contender(name, runner) for name, runner in runners.items()]
    report = measure(entries, settings=settings(options, 1))
    for runner in runners.values():
        runner.close()
    first, last = report.artifacts[0], report.artifacts[-1]
    return {
        "what": what,
        "published": published,
        "ms": {one.name: one.latency_ms.p50 for one in report.artifacts},
        "gain_ms": first.latency_ms.p50 - last.latency_ms.p50,
        "ratio": report.ratios[-1].model_dump(mode="json"),
    }


def flash(setup: Setup, model: Any, scale: str, options: argparse.Namespace) -> dict[str, Any]:
    """FlashAttention on and off: flash-attn where it is there, else PyTorch's own kernels."""
    what = f"{scale}: FlashAttention on against off, fp16"
    off = TorchVariant(model, setup, half=True, attention="explicit")
    try:
        on = TorchVariant(model, setup, half=True, attention="flash")
        kernel = "flash-attn"
    except UnsupportedError:
        on = TorchVariant(model, setup, half=True, attention="sdpa")
        kernel = "scaled_dot_product_attention"
    published = "0.3 to 0.4 ms faster, published"
    return claim(what, published, {"explicit": off, kernel: on}, options)


def growth(setup: Setup, model: Any, scale: str, options: argparse.Namespace) -> dict[str, Any]:
    """Latency and memory from the input size to twice its side, where pixels grow by 4."""
    small, large = setup.size, LARGE * setup.size
    found: dict[str, Any] = {}
    for kind in ("torch", "tensorrt", "tensorrt_rtx"):
        try:
            sizes = [sized(setup, model, scale, kind, side, options) for side in (small, large)]
        except (EdgeError, RuntimeError) as error:
            found[kind] = {"skipped": first_line(error)}
            continue
        (fast, little), (slow, much) = sizes
        found[kind] = {
            "ms": {str(small): fast, str(large): slow},
            "bytes": {str(small): little, str(large): much},
            "latency_ratio": slow / fast,
            "memory_ratio": much / little if little else None,
        }
    return {
        "what": f"{scale}: {large} px against {small} px",
        "published": "a bottleneck at 1280, as the paper admits; 4 times the pixels",
        "growth": found,
    }


def sized(
    setup: Setup, model: Any, scale: str, kind: str, side: int, options: argparse.Namespace
) -> tuple[float, int]:
    """Median milliseconds and GPU bytes of one runtime at one size."""
    here = dataclasses.replace(setup, size=side)
    before = free_memory()
    if kind == "torch":
        runner: Any = TorchVariant(model, here, half=setup.device == "cuda")
    else:
        runner = engine_runner(here, model, scale, kind)
    if setup.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    report = measure({kind: runner}, settings=settings(options, 1))
    used = torch.cuda.max_memory_allocated() if setup.device == "cuda" else 0
    if kind != "torch":
        used = before - free_memory()
    runner.close()
    return report.artifacts[0].latency_ms.p50, used


def aims(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """FP16 of scales n and s: at most 0.8 of the public graph's time, all attention fused."""
    found = []
    for result in results:
        if result["scale"] not in "ns" or result["batch"] != 1:
            continue
        times = {one["name"]: one["latency_ms"]["p50"] for one in result["bench"]["artifacts"]}
        for backend in ("tensorrt", "tensorrt_rtx"):
            ours, public = (times.get(f"{backend} {whose} fp16") for whose in ("ours", "public"))
            fused = result["fused"].get(f"{backend} ours fp16")
            found.append(
                {
                    "what": f"{result['scale']} in {backend}, fp16, batch 1",
                    "ratio": ours / public if ours and public else None,
                    "fast_enough": ours / public <= AIM if ours and public else None,
                    "all_fused": fused["fused"] == fused["attention"] > 0 if fused else None,
                }
            )
    return found


def markdown(document: dict[str, Any]) -> str:
    """The same for people."""
    lines = [f"# YOLOv12 on {document['device']}", ""]
    if document["races"]:
        environment = document["races"][0]["bench"]["environment"]
        gpus = ", ".join(gpu["name"] for gpu in environment["gpus"]) or environment["cpu"]["model"]
        versions = ", ".join(f"{k} {v}" for k, v in environment["libraries"].items())
        lines += [f"{document['races'][0]['bench']['created'][:10]}, {gpus}; {versions}.", ""]
    if document["quick"]:
        lines += ["A quick run: it shows that the steps work, its times mean nothing.", ""]
    for result in document["races"]:
        lines += race_table(result)
    lines += ["## The paper's claims", "", "| claim | published | here |", "|---|---|---|"]
    lines += [
        f"| {one['what']} | {one['published']} | {outcome(one)} |" for one in document["claims"]
    ]
    lines += ["", "## Aims", "", "| | time of the public graph's | all attention fused |"]
    lines += ["|---|---|---|"]
    lines += [
        f"| {one['what']} | {number(one['ratio'])} | {yes(one['all_fused'])} |"
        for one in document["aims"]
    ]
    return "\n".join(lines) + "\n"


def race_table(result: dict[str, Any]) -> list[str]:
    lines = [f"## Scale {result['scale']}, batch {result['batch']}, {result['imgsz']} px", ""]
    head = ("contender", "p50 ms", "against the first", "img/s", "on the GPU ms", "error px")
    lines += ["| " + " | ".join((*head, "error score", "fused")) + " |", "|---" * 8 + "|"]
    ratios = {ratio["name"]: ratio for ratio in result["bench"]["ratios"]}
    device = result["on_gpu"].get("p50_ms", {})
    for one in result["bench"]["artifacts"]:
        name = one["name"]
        ratio, error, fused = ratios.get(name), result["parity"][name], result["fused"].get(name)
        against = interval(ratio) if ratio else "1"
        cells = [
            name,
            f"{one['latency_ms']['p50']:.3f}",
            against,
            f"{one['throughput']:.1f}",
            number(device.get(name)),
            number(error.get("box_px")),
            number(error.get("score")),
            f"{fused['fused']} of {fused['attention']}" if fused else "-",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *prediction_table(result["predicted"])]
    lines += ["", *(f"- skipped {name}: {why}" for name, why in result["skipped"].items()), ""]
    return lines


def prediction_table(predicted: dict[str, Any]) -> list[str]:
    """The model of time against the GPU: yolov12edge bench --predict, transfers left out."""
    known = {
        name: one for name, one in predicted.items() if name != "skipped" and "skipped" not in one
    }
    if not known:
        return []
    lines = ["| plan | GPU of the table | predicted ms | measured ms | predicted over measured |"]
    lines.append("|---" * 5 + "|")
    for name, one in known.items():
        cells = [name, one["gpu"], number(one["predicted_ms"])]
        cells += [number(one["measured_ms"]), number(one["ratio"])]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def outcome(one: dict[str, Any]) -> str:
    if "ratio" in one:
        return f"{one['gain_ms']:+.3f} ms faster, ratio {interval(one['ratio'])}"
    return "; ".join(
        f"{kind}: latency times {number(grown['latency_ratio'])}, "
        f"memory times {number(grown['memory_ratio'])}"
        for kind, grown in one["growth"].items()
        if "skipped" not in grown
    )


def interval(ratio: dict[str, float]) -> str:
    return f"{ratio['ratio']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def yes(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "no"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
