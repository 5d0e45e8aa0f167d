"""Random scale, shift, rotation and shear of a picture and its objects."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov12edge.data.augment.instances import Instances
from yolov12edge.data.augment.mosaic import PAD_VALUE
from yolov12edge.data.augment.settings import Augmentation
from yolov12edge.data.letterbox import Image

MIN_SIDE = 2.0
MAX_ASPECT = 100.0
MIN_AREA_LEFT = 0.1
MIN_AREA_LEFT_OUTLINED = 0.01

Matrix = NDArray[np.float64]


def affine(
    image: Image,
    instances: Instances,
    size: tuple[int, int],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> tuple[Image, Instances]:
    """Map a picture to the detector's input, its centre to near the centre.

    Args:
        image: (h, w, 3) uint8: a canvas of twice the input's size, or a picture of that size.
        instances: its objects.
        size: height and width of the input.
        augmentation: strengths.
        rng: decides.

    Returns:
        (H, W, 3) picture, grey beyond the image, and the objects still worth finding.
    """
    matrix, scale = random_matrix((image.shape[0], image.shape[1]), size, augmentation, rng)
    moved = transform_instances(instances, matrix, scale, image.shape[:2], size)
    identity = np.array_equal(matrix, np.eye(2, 3)) and image.shape[:2] == size
    return (image if identity else transform_image(image, matrix, size)), moved


def random_matrix(
    source: tuple[int, int],
    target: tuple[int, int],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> tuple[Matrix, float]:
    """(2, 3) map from pixels of a picture to pixels of the result, and its scale.

    Args:
        source: height and width of the picture.
        target: height and width of the result.
        augmentation: strengths of rotation, scale, shear and shift.
        rng: decides.
    """
    angle = math.radians(rng.uniform(-augmentation.degrees, augmentation.degrees))
    scale = rng.uniform(1 - augmentation.scale, 1 + augmentation.scale)
    shear_x, shear_y = np.tan(np.radians(rng.uniform(-1, 1, 2) * augmentation.shear))
    shift = rng.uniform(0.5 - augmentation.translate, 0.5 + augmentation.translate, 2)
    turn = scale * np.array(
        [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    )
    linear = np.array([[1, shear_x], [shear_y, 1]]) @ turn
    centre = np.array([source[1], source[0]]) / 2
    offset = shift * np.array([target[1], target[0]]) - linear @ centre
    return np.column_stack([linear, offset]), scale


def transform_image(image: Image, matrix: Matrix, size: tuple[int, int]) -> Image:
    """(H, W, 3) picture that shows at M(p) what the image shows at p, bilinear.

    Points, like boxes, have their origin at the outer corner of the first pixel; OpenCV's is the
    centre of that pixel.
    """
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    moved: Image = cv2.warpAffine(
        image,
        centred,
        (size[1], size[0]),
        flags=cv2.INTER_LINEAR,
        borderValue=(PAD_VALUE, PAD_VALUE, PAD_VALUE),
    )
    return moved


def transform_instances(
    instances: Instances,
    matrix: Matrix,
    scale: float,
    source: tuple[int, ...],
    size: tuple[int, int],
) -> Instances:
    """Objects after the map, cut to the result; those hardly visible are dropped.

    The new box encloses the moved outline, or the moved corners of the box where there is none.
    It is kept if both sides are above 2 px, it is less than 100 times as long as wide, and it has
    more than a tenth (a hundredth, with an outline) of its area before the cut.

    Args:
        instances: objects in pixels of the picture.
        matrix: (2, 3) map.
        scale: factor by which the map enlarges.
        source: height and width of the picture, beyond which nothing is visible.
        size: height and width of the result.
    """
    if not len(instances):
        return instances
    corners = _map(instances.boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2), matrix)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    boxes = np.clip(boxes, 0, np.array([size[1], size[0]] * 2))
    polygons = instances.polygons
    outlined = instances.outlined()
    if outlined.any():
        frame = np.array([[0, 0], [source[1], 0], [source[1], source[0]], [0, source[0]]])
        frame = _map(frame, matrix)
        low = np.maximum(frame.min(axis=0), 0)
        high = np.minimum(frame.max(axis=0), (size[1], size[0]))
        polygons = polygons.moved(_map(polygons.points, matrix))
        exact = np.nan_to_num(polygons.bounds(len(instances), (*low, *high)))
        boxes[outlined] = exact[outlined]
    before = (instances.boxes[:, 2:] - instances.boxes[:, :2]).astype(np.float64) * scale
    kept = worth_keeping(before, boxes[:, 2:] - boxes[:, :2], outlined)
    return Instances(boxes.astype(np.float32), instances.classes, polygons).select(kept)


def worth_keeping(
    before: NDArray[np.float64], after: NDArray[np.float64], outlined: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(n,) which boxes are kept, by their (n, 2) widths and heights before and after the cut."""
    longer, shorter = after.max(axis=1), after.min(axis=1)
    least = np.where(outlined, MIN_AREA_LEFT_OUTLINED, MIN_AREA_LEFT)
    kept: NDArray[np.bool_] = (
        (shorter > MIN_SIDE)
        & (longer < MAX_ASPECT * shorter)
        & (after.prod(axis=1) > least * before.prod(axis=1))
    )
    return kept


def _map(points: NDArray[np.floating], matrix: Matrix) -> NDArray[np.float64]:
    mapped: NDArray[np.float64] = points @ matrix[:, :2].T + matrix[:, 2]
    return mapped
