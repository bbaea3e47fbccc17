# Targets: cpu (the default) and cuda serve, scale serves on a Ray cluster; train prepares, trains, tunes, exports and
# runs the baseline; load runs Locust. The build needs the network, a run does not. docs/deployment.md says how each is used.

FROM python:3.13-slim AS installed
WORKDIR /opt/plotify
RUN python -m venv --without-pip .venv
ENV PIP_PYTHON=/opt/plotify/.venv PIP_CONSTRAINT=/opt/plotify/constraints.txt PIP_NO_CACHE_DIR=1
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY training training
COPY export export
COPY server server
COPY voice voice
COPY benchmarks benchmarks
COPY silence silence
RUN pip install --editable '.[postgres]' && .venv/bin/python -m compileall -q server && .venv/bin/python -m server.engine.sampling

FROM installed AS with-cuda
RUN pip install 'onnxruntime-gpu[cuda,cudnn]==1.31.1'

# Almost half of what was installed: ONNX Runtime's libraries for GPUs and for programs in C, and tests of packages.
FROM installed AS without-cuda
RUN find .venv -name 'libonnxruntime_providers_[ct]*.so' -delete -o -name 'libonnxruntime.so*' -delete \
    && find .venv -type d -name tests -prune -exec rm -r {} +

FROM without-cuda AS with-ray
RUN pip install --editable '.[scale]'

FROM without-cuda AS with-voice
# PyTorch from the default index includes CUDA's libraries. Another index may have it without them.
ARG PIP_EXTRA_INDEX_URL
RUN pip install --editable '.[voice]'

FROM without-cuda AS with-locust
RUN pip install --editable '.[load]'

# Root owns the program, so that a process cannot change it. Processes write only mounts and /tmp: --read-only works.
FROM python:3.13-slim AS unprivileged
RUN useradd --system --uid 10001 --no-create-home plotify \
    && install --directory --owner=10001 --mode=700 /var/lib/plotify
WORKDIR /opt/plotify
# The code compiled in the build serves the same kind of processor. On another kind, it is compiled again, below HOME.
ENV PATH=/opt/plotify/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    NUMBA_CACHE_LOCATOR_CLASSES=server.engine.sampling.compilation.Installed,UserProvidedCacheLocator,UserWideCacheLocator
USER 10001

FROM unprivileged AS load
COPY --from=with-locust /opt/plotify /opt/plotify
EXPOSE 8089
ENTRYPOINT ["locust", "-f", "benchmarks/locustfile.py"]

FROM unprivileged AS train
COPY --from=with-voice /opt/plotify /opt/plotify
COPY models models
ENTRYPOINT ["plotify"]
CMD ["--help"]

FROM unprivileged AS serving
COPY templates templates
COPY models models
ENV PLOTIFY_HOST=0.0.0.0 PLOTIFY_DATABASE=/var/lib/plotify/plotify.sqlite
VOLUME /var/lib/plotify
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["plotify", "serve"]

FROM serving AS cuda
COPY --from=with-cuda /opt/plotify /opt/plotify
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility PLOTIFY_DEVICE=cuda

FROM serving AS scale
COPY --from=with-ray /opt/plotify /opt/plotify

FROM serving AS cpu
COPY --from=without-cuda /opt/plotify /opt/plotify
