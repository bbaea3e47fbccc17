"""The command for training the minute model in tests, and readers for its results."""

import json
import sys
from pathlib import Path

import h5py
import numpy as np

PLOTIFY = Path(sys.executable).with_name("plotify")


def command(data: Path, out: Path, *more: str) -> list[str]:
    words = [
        PLOTIFY,
        "train",
        "--data",
        data,
        "--base",
        "minute",
        "--out",
        out,
        "--batch-tokens",
        "512",
        "--epochs",
        "4",
    ]
    return [*map(str, words), "--evaluate-every", "10", *more]


def metrics(checkpoint: Path) -> dict[str, object]:
    contents: dict[str, object] = json.loads((checkpoint / "metrics.json").read_text())
    return contents


def losses(checkpoint: Path, split: str) -> dict[int, float]:
    return {m["step"]: m["loss"] for m in metrics(checkpoint)["history"] if m["split"] == split}  # type: ignore[attr-defined]


def weights(checkpoint: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}

    def add(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].astype(np.float32)

    with h5py.File(checkpoint / "tf_model.h5") as file:
        file.visititems(add)
    return found
