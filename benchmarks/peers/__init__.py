"""The engines that a user would pick instead of ours, on the same weights, prompts and cores (docs/peers.md)."""
