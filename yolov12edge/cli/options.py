"""Options that mean the same in several commands, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

# Optional[...], because typer reads annotations at run time.
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no remarks.")]

# What runs an artifact, and how.
RuntimeOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="NAME", help="What runs the artifact, for example openvino."),
]
ThreadsOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, metavar="N", help="CPU threads; the runtime's own choice if absent."),
]
OpenSizeOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="N|HxW", help="640 or HxW, for artifacts that leave the size open."),
]

# What an artifact has to keep.
MaxDropOption = Annotated[
    float,
    typer.Option(min=0, max=1, metavar="F", help="Largest relative drop of mAP (or self-mAP)."),
]

MinMatchedOption = Annotated[
    float,
    typer.Option(min=0, max=1, metavar="F", help="Smallest share of detections found again."),
]
ReferenceOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        metavar="FILE", help="The checkpoint to judge by; from the run's manifest if absent."
    ),
]

# How INT8 is made, and on which images.
Int8Option = Annotated[bool, typer.Option("--int8", help="Quantize to INT8.")]
CalibImagesOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, metavar="N", help="Most calibration images to use; 256 if absent."),
]
CalibMethodOption = Annotated[
    str,
    typer.Option(metavar="METHOD", help="auto, max, percentile, entropy or mse; for INT8 ranges."),
]
EffortOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="HOW",
        help="quick, normal or thorough: how long INT8 may learn; normal if absent.",
    ),
]
KeepFloatOption = Annotated[
    str,
    typer.Option(metavar="BLOCKS", help="Blocks that INT8 leaves in float: model.6.m.0,model.8"),
]
