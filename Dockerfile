# The images: operator and worker-sidecar, and reference-worker for tests.
#
#   docker build --target operator -t fingerv7-operator .
#
# BASE is any image with a Python from 3.11 on that is built for glibc, and its venv module. The default is the one that
# public Dockerfiles pin for this tag; being one of the official image's, the digest can lead to nothing else than one of
# their Pythons. It was not pulled here, as these images are built and tested where no registry can be reached, on a base
# of Debian packages (`python -m devenv images`, where no engine is). It does not get younger: give a newer one as
# `docker buildx imagetools inspect python:3.13-slim-bookworm` tells it.
#
# No secret and no index ends up in a layer: pip's settings come as the optional secrets pip.conf and pip-cert.
#
# What only the builder knows is a label more: --label org.opencontainers.image.revision=$(git rev-parse HEAD). Probes are
# the pods' business, as Kubernetes reads no HEALTHCHECK.
ARG BASE=python:3.13.14-slim-bookworm@sha256:67a1e1f215ccda113cfc024e8639049257e88f273898f595b61476d128d387e8

FROM ${BASE} AS build
# ensurepip brings the pip; whether the base has one of its own does not matter.
RUN python3 -m venv /opt/build
ENV PIP_CONFIG_FILE=/run/secrets/pip.conf PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

FROM build AS operator-dependencies
COPY requirements/operator.txt /opt/build/
# Left out is what nothing here imports: tests, what only compilers need, the asyncio twin of the Kubernetes client.
# Compiled here, because the root file system is read-only; of the client's generated modules only that is kept.
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=pip-cert \
    /opt/build/bin/pip install --quiet --no-compile --only-binary=:all: --require-hashes --target=/app \
      --requirement=/opt/build/operator.txt \
 && rm -rf /app/bin /app/kubernetes/aio /app/numpy/distutils /app/numpy/f2py \
 && find /app -depth \( -name tests -o -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.h' -o -name '*.a' \) \
      -exec rm -rf {} + \
 && python3 -m compileall -q -b /app/kubernetes/client && find /app/kubernetes/client -name '*.py' -delete \
 && python3 -m compileall -q --invalidation-mode=unchecked-hash /app

FROM build AS operator-code
COPY operator/fingerv7 /app/fingerv7
RUN python3 -m compileall -q --invalidation-mode=unchecked-hash /app

FROM build AS sidecar-files
COPY requirements/sidecar.txt /opt/build/
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=pip-cert \
    /opt/build/bin/pip install --quiet --no-compile --only-binary=:all: --require-hashes --target=/app \
      --requirement=/opt/build/sidecar.txt
# Of the operator's package only what both share: docs/decisions/0003.
COPY operator/fingerv7/__init__.py operator/fingerv7/contract.py /app/fingerv7/
COPY worker-sidecar/fingerv7_sidecar /app/fingerv7_sidecar
RUN python3 -m compileall -q --invalidation-mode=unchecked-hash /app

FROM ${BASE} AS operator
# Two layers, so that a new version of ours costs 3 MB and not 130.
COPY --from=operator-dependencies /app /app
COPY --from=operator-code /app/fingerv7 /app/fingerv7
ENV PATH=/usr/local/bin:/usr/bin:/bin PYTHONPATH=/app PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /
# /healthz and /metrics
EXPOSE 8080
ENTRYPOINT ["python3", "-m", "fingerv7.runtime.main"]
LABEL org.opencontainers.image.title="fingerv7-operator" \
      org.opencontainers.image.description="Shares a table of radio streams among a fleet of FingerV7 workers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"

FROM ${BASE} AS worker-sidecar
COPY --from=sidecar-files /app /app
ENV PATH=/usr/local/bin:/usr/bin:/bin PYTHONPATH=/app PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /
# PUBLIC_LISTEN: /healthz, /readyz, /metrics and /drain. 8089 is for the pod alone.
EXPOSE 8090
ENTRYPOINT ["python3", "-m", "fingerv7_sidecar.main"]
LABEL org.opencontainers.image.title="fingerv7-worker-sidecar" \
      org.opencontainers.image.description="Keeps one FingerV7 worker's assignment in a file and tells the operator that it lives" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"

# Plays FingerV7 in tests. It needs asyncpg, which the operator has from the same lock file.
FROM operator AS reference-worker
COPY examples/reference_worker /app/reference_worker
LABEL org.opencontainers.image.title="fingerv7-reference-worker" \
      org.opencontainers.image.description="Plays FingerV7 in tests"
ENTRYPOINT ["python3", "-m", "reference_worker"]
