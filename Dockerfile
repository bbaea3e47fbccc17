# Plotify on the processor. The build needs the network, a run does not.

FROM python:3.13-slim AS build
WORKDIR /opt/plotify
RUN python -m venv .venv
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY training training
COPY export export
COPY server server
COPY benchmarks benchmarks
RUN .venv/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt --editable . \
    && .venv/bin/python -m compileall -q server

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home plotify \
    && install --directory --owner=10001 --mode=700 /var/lib/plotify
WORKDIR /opt/plotify
COPY --from=build /opt/plotify /opt/plotify
COPY templates templates
COPY models models
ENV PATH=/opt/plotify/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PLOTIFY_HOST=0.0.0.0 \
    PLOTIFY_DATABASE=/var/lib/plotify/plotify.sqlite
# Root owns what is served, so that the server cannot change it; it writes the database only, and runs with --read-only.
VOLUME /var/lib/plotify
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["plotify", "serve"]
