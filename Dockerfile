# The image of both jobs: init and sidecar. Any base with Python 3.13 at /usr/local/bin/python and pip will do.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# A venv keeps the program apart from whatever the base has installed, at one path on every base.
RUN python -m venv --without-pip /image/opt/lighterman && ln -s /image/opt/lighterman /opt/lighterman
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN pip --python /opt/lighterman/bin/python install --quiet --no-compile --require-hashes --only-binary :all: \
        -r requirements/runtime.txt \
    && python -m venv /build \
    && /build/bin/pip install --quiet --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY lighterman lighterman
COPY initializer initializer
COPY sidecar sidecar
RUN /build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheel . \
    && pip --python /opt/lighterman/bin/python install --quiet --no-compile --no-deps /wheel/*.whl
COPY containers/finish-image.py containers/
RUN /opt/lighterman/bin/python containers/finish-image.py /image
COPY --chmod=0755 entrypoint.sh /image/entrypoint.sh

FROM ${BASE_IMAGE}
# HOME is where an SDK looks for a profile; nothing is ever written there.
ENV PATH=/opt/lighterman/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/home/lighterman \
    PYTHONDONTWRITEBYTECODE=1
RUN python -m pip uninstall --quiet --yes --root-user-action ignore pip setuptools wheel \
    && rm -rf "$(python -c 'import ensurepip; print(ensurepip.__path__[0])')" /usr/share/python-wheels \
    && mkdir /home/lighterman \
    && echo 'lighterman:x:65532:65532::/home/lighterman:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'lighterman:x:65532:' >> /etc/group
COPY --from=build /image/ /
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="lighterman" \
      org.opencontainers.image.description="Carries files between a pod and its buckets: an init container that pulls, a sidecar that syncs." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/entrypoint.sh"]
CMD ["--help"]
