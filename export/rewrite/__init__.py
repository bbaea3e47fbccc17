"""Optimum's graph, rewritten for the engine: one pass a module, each changing an `OnnxModel` in place."""
