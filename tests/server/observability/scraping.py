"""Reads /metrics like Prometheus."""

import httpx
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[str, ...]


def samples(address: str) -> dict[str, float]:
    """Return the samples by name, as `name` or `name{a,b}` with the values of all labels but the model's."""
    answer = httpx.get(f"{address}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == CONTENT_TYPE_LATEST
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(value for name, value in sample.labels.items() if name != "model_name")
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found
