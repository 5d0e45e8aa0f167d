"""Augmentation of training pictures: small functions of picture, objects and generator."""

from yolov12edge.data.augment.compose import compose
from yolov12edge.data.augment.instances import Instances, Polygons
from yolov12edge.data.augment.settings import Augmentation

__all__ = ["Augmentation", "Instances", "Polygons", "compose"]
