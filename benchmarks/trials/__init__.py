"""Trials of a server under load and faults, each in a module of its own; docs/trials.md describes them."""
