"""YOLOv12 in PyTorch: scales, blocks, area attention and its backends, head, detector."""
