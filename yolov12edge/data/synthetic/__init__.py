"""Synthetic scenes: objects of a workshop on textured grounds, with exact boxes and outlines."""

from yolov12edge.data.synthetic.scene import Scene, make_scene
from yolov12edge.data.synthetic.shapes import NAMES
from yolov12edge.data.synthetic.write import write_set

__all__ = ["NAMES", "Scene", "make_scene", "write_set"]
