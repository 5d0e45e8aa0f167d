"""What an artifact is: checkpoints, ONNX files, plans, run folders, and how two differ."""
