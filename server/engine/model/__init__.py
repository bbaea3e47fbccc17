"""The model and its KV cache, on the processor or on a GPU."""
