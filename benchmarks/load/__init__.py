"""A load test: Locust, in a process of its own, against servers in theirs; the figures, their doubts, the report."""
