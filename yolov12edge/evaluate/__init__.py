"""Decode to detections, COCO AP, drift against the reference, gates."""
