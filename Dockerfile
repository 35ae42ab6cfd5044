# The image of both jobs: init and sidecar. Any base with Python 3.13 at /usr/local/bin/python and pip will do.
ARG BASE_IMAGE=python:3.13-slim
# The base of the target `shell-less`: any with the same Python at /usr/bin/python3.13, as Debian has it.
ARG SHELL_LESS_BASE=gcr.io/distroless/python3-debian13

FROM ${BASE_IMAGE} AS build
# Compiled code goes without the columns of its lines, which are of use only beside the source.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1 PYTHONNODEBUGRANGES=1
WORKDIR /src
# A venv keeps the program apart from whatever the base has installed, at one path on every base.
RUN python -m venv --without-pip /image/opt/lighterman && ln -s /image/opt/lighterman /opt/lighterman
COPY requirements/build.txt requirements/runtime.txt requirements/sbom.txt requirements/
RUN pip --python /opt/lighterman/bin/python install --quiet --no-compile --require-hashes --only-binary :all: \
        -r requirements/runtime.txt \
    && python -m venv /build \
    && /build/bin/pip install --quiet --no-compile --require-hashes --only-binary :all: \
        -r requirements/build.txt -r requirements/sbom.txt
# From here on nothing is asked of any network.
COPY pyproject.toml README.md LICENSE ./
COPY lighterman lighterman
COPY initializer initializer
COPY sidecar sidecar
RUN /build/bin/pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir /wheel . \
    && pip --python /opt/lighterman/bin/python install --quiet --no-index --no-compile --no-deps /wheel/*.whl \
    # What Polyaxon's compiler calls it; a script of the package would replace Polyaxon's own.
    && ln -s lighterman /opt/lighterman/bin/polyaxon
COPY containers/finish containers/finish
# Which clouds it can speak with: some of s3,gcs,azure.
ARG CLOUDS=s3,gcs,azure
RUN /opt/lighterman/bin/python containers/finish pack "${CLOUDS}" /used \
    && /build/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
        --output-file /opt/lighterman/sbom.cdx.json /opt/lighterman/bin/python
RUN python containers/finish fit /used /image && mkdir -p /image/home/lighterman
COPY --chmod=0755 entrypoint.sh /image/entrypoint.sh

# The same on a base that has no shell and no package manager.
FROM ${SHELL_LESS_BASE} AS fitted
COPY --from=build /image/opt/ /opt/
COPY --from=build /src/containers/finish /finish
COPY --from=build /used /used
RUN ["/usr/bin/python3.13", "-B", "-X", "no_debug_ranges", "/finish", "fit", "/used", "/fitted"]

FROM ${SHELL_LESS_BASE} AS shell-less
COPY --from=build /image/opt/ /opt/
COPY --from=fitted /fitted/ /
ENV PATH=/opt/lighterman/bin:/usr/bin:/bin \
    HOME=/home/lighterman \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2
ARG CLOUDS=s3,gcs,azure
ENV LIGHTERMAN_CLOUDS=${CLOUDS}
ARG SHELL_LESS_BASE
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="lighterman" \
      org.opencontainers.image.description="Carries files between a pod and its buckets: an init container that pulls, a sidecar that syncs." \
      org.opencontainers.image.base.name="${SHELL_LESS_BASE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
WORKDIR /
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["python", "-m", "lighterman", "ready"]
ENTRYPOINT ["python", "-m", "lighterman"]
CMD ["--help"]

FROM ${BASE_IMAGE} AS slim
# HOME is where an SDK looks for a profile; nothing is ever written there.
ENV PATH=/opt/lighterman/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/home/lighterman \
    PYTHONDONTWRITEBYTECODE=1
RUN python -m pip uninstall --quiet --yes --root-user-action ignore pip setuptools wheel \
    && rm -rf "$(python -c 'import ensurepip; print(ensurepip.__path__[0])')" /usr/share/python-wheels \
    && echo 'lighterman:x:65532:65532::/home/lighterman:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'lighterman:x:65532:' >> /etc/group
COPY --from=build /image/ /
ARG CLOUDS=s3,gcs,azure
ENV LIGHTERMAN_CLOUDS=${CLOUDS}
ARG BASE_IMAGE
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="lighterman" \
      org.opencontainers.image.description="Carries files between a pod and its buckets: an init container that pulls, a sidecar that syncs." \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
WORKDIR /
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["/entrypoint.sh", "ready"]
ENTRYPOINT ["/entrypoint.sh"]
CMD ["--help"]
