"""What operators see: logs, metrics, traces, and the page /status."""
