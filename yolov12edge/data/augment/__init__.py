"""Augmentation of training pictures: small functions of picture, objects and generator.

By hand, and not by a library: mosaic and copy-paste join pictures with the outlines of their
objects, which general libraries leave to the caller, and a seed has to give the same pictures
however many workers make them.
"""

from yolov12edge.data.augment.compose import compose
from yolov12edge.data.augment.instances import Instances, Polygons
from yolov12edge.data.augment.settings import Augmentation

__all__ = ["Augmentation", "Instances", "Polygons", "compose"]
