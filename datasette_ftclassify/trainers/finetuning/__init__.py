"""Fine-tuning a sentence encoder on this machine: torch trains, ONNX Runtime answers."""
