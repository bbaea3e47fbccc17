"""Rewriting Optimum's graph for the engine.

Each module is one pass, and changes an `OnnxModel` in place.
"""
