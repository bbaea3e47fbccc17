"""Load tests: Locust against servers, each in its own process; then figures, doubts and a report."""
