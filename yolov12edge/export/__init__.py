"""From the PyTorch detector to a clean ONNX graph: rewrite steps, emission, lints, parity."""
