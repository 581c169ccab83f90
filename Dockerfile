# The tag is the base's newest build; to pin it for good add its digest, see docs/deploy.md.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

# -- build: nothing of this stage but the virtual environment goes on --------------------------
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /src
COPY requirements/runtime.txt requirements/build.txt requirements/
# Two environments: the second holds what builds the package, the first what runs.
RUN python3 -m venv --without-pip /opt/edr-collector \
    && python3 -m venv /opt/build \
    && /opt/build/bin/pip --python /opt/edr-collector/bin/python install --require-hashes -r requirements/runtime.txt \
    && /opt/build/bin/pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY collector collector
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir dist . \
    && /opt/build/bin/pip --python /opt/edr-collector/bin/python install --no-deps --no-index dist/*.whl \
    && mkdir -p /empty/collector

# -- the image ---------------------------------------------------------------------------------
FROM ${BASE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="edr-collector" \
      org.opencontainers.image.description="Reads security events out of EDR vendors' cloud APIs, delivers each of them once to the SIEM" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/edr-collector/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=build /opt/edr-collector /opt/edr-collector
# Owned by the user, so that a new volume is, too. /tmp is not needed; the root may be read-only.
COPY --from=build --chown=65532:65532 /empty/collector /var/lib/collector
USER 65532:65532
WORKDIR /var/lib/collector
VOLUME ["/var/lib/collector"]
EXPOSE 9650
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["collector", "healthcheck", "-c", "/etc/collector/collector.yaml"]
ENTRYPOINT ["collector"]
CMD ["run", "/etc/collector/collector.yaml"]
