"""Logs, metrics, traces and the page /status, for operators."""
