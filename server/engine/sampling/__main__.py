"""Compiles the sampler ahead of the first start: `python -m server.engine.sampling`."""

from server.engine.sampling.batch_sampler import BatchSampler
from server.engine.sampling.compilation import PROCESSOR, processor

if __name__ == "__main__":
    BatchSampler(1).close()
    if PROCESSOR.parent.is_dir():
        PROCESSOR.write_text(processor(), encoding="utf-8")
