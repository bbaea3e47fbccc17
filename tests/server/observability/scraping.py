"""What /metrics says, as Prometheus would read it."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[str, ...]


def samples(address: str) -> dict[str, float]:
    """Each by its name, with the values of its labels but the model's: `name` or `name{a,b}`. From this machine."""
    answer = httpx.get(f"{address}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(value for name, value in sample.labels.items() if name != "model_name")
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found
