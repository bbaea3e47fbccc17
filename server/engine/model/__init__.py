"""The model in ONNX Runtime and its KV cache, on the processor or on a GPU."""
