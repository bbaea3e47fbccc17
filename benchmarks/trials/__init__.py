"""Trials: a server under load, faults and bad input. docs/trials.md describes them."""
