"""Builders of TensorRT and TensorRT-RTX plans, and what is inside a plan."""
