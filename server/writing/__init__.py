"""Writes plots: the brief, the text in progress, and the feed for its readers."""
