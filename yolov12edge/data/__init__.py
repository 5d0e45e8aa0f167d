"""Images, letterbox and datasets."""

from yolov12edge.data.dataset import Dataset, load_dataset
from yolov12edge.data.images import find_images, read_image
from yolov12edge.data.letterbox import Letterbox, Placement, to_batch

__all__ = [
    "Dataset",
    "Letterbox",
    "Placement",
    "find_images",
    "load_dataset",
    "read_image",
    "to_batch",
]
