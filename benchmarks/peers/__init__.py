"""Peers: our engine against others, with the same weights, prompts and cores (docs/peers.md)."""
