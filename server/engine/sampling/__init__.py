"""Sampling: from logits to the next token of each sequence."""
