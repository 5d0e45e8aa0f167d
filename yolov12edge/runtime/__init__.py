"""One Runner interface over torch, ONNX Runtime, OpenVINO, TensorRT and TensorRT-RTX."""
