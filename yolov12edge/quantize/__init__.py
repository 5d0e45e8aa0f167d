"""Lower precision, written into the ONNX graph."""
