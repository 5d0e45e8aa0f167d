"""What of a network a DLA can run, told before a build that may take an hour."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from yolov12edge.errors import ExportError

# Constants are data, not work.
UNCOUNTED = ("CONSTANT",)


@dataclass(frozen=True)
class DlaCoverage:
    """Layers that a DLA can run, and those that fall back to the GPU.

    Attributes:
        on_dla: layers by type that it can run.
        on_gpu: layers by type that it cannot.
        fallback: names of the latter, in the network's order.
    """

    on_dla: dict[str, int]
    on_gpu: dict[str, int]
    fallback: tuple[str, ...]

    @property
    def share(self) -> float:
        """Share of the layers that the DLA can run, 0 to 1."""
        runs, layers = sum(self.on_dla.values()), len(self.fallback)
        return runs / (runs + layers) if runs + layers else 0.0

    def table(self) -> str:
        """One line a layer type, the DLA's largest first, and a line for all of them."""
        kinds = sorted(
            {*self.on_dla, *self.on_gpu},
            key=lambda kind: (-self.on_dla.get(kind, 0), -self.on_gpu.get(kind, 0), kind),
        )
        width = max(map(len, (*kinds, "layer")))
        lines = [f"{'layer':<{width}}  {'DLA':>5}  {'GPU':>5}"]
        lines += [
            f"{kind.lower():<{width}}  {self.on_dla.get(kind, 0):>5}  {self.on_gpu.get(kind, 0):>5}"
            for kind in kinds
        ]
        total = sum(self.on_dla.values())
        lines.append(f"{'all':<{width}}  {total:>5}  {len(self.fallback):>5}  {self.share:.0%} DLA")
        return "\n".join(lines)

    def check(self, floor: float) -> None:
        """Refuse a network that would spend its time going to and fro.

        Raises:
            ExportError: less than `floor` of the layers can run on the DLA.
        """
        if self.share < floor:
            first = ", ".join(self.fallback[:3])
            raise ExportError(
                f"the DLA can run {self.share:.0%} of the layers, less than the {floor:.0%} asked "
                f"for; the GPU would run {len(self.fallback)} ({first}, ...)",
                "build for the GPU (without --dla), or lower --dla-min-coverage",
            )


def measure_coverage(definition: Any, config: Any) -> DlaCoverage:
    """Ask the library about every layer of a parsed network.

    Args:
        definition: an INetworkDefinition.
        config: an IBuilderConfig with the DLA as its default device.
    """
    on_dla: Counter[str] = Counter()
    on_gpu: Counter[str] = Counter()
    fallback = []
    for index in range(definition.num_layers):
        layer = definition.get_layer(index)
        kind = layer.type.name
        if kind in UNCOUNTED:
            continue
        if config.can_run_on_DLA(layer):
            on_dla[kind] += 1
        else:
            on_gpu[kind] += 1
            fallback.append(layer.name)
    return DlaCoverage(dict(on_dla), dict(on_gpu), tuple(fallback))
