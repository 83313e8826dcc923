"""Sentence encoders: models that turn a text into a vector, run by ONNX Runtime on this machine."""
