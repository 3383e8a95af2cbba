# The service without its trial database and its doubles: production sets DATABASE_URL.
FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements/runtime.txt .
# Wheels alone: there is no compiler here, and a source distribution runs code when it is built.
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes \
        --only-binary=:all: -r runtime.txt
COPY pyproject.toml README.md ./
COPY migrations migrations
COPY app app
# With the setuptools of the lock. pip sets the modes: after a `umask 077` in the checkout, too.
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check \
        --no-deps --no-build-isolation --no-index .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home autotask-cc
COPY --from=build /venv /venv
WORKDIR /srv
# Nothing is written: the container can run with a read-only root.
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOST=0.0.0.0 PORT=8000
# A number: Kubernetes cannot tell that a name is not root's.
# https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
USER 10001
EXPOSE 8000
# Live, not ready: a database that is away is no reason to kill the process that waits for it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/health/live\", timeout=4)"]
# `docker run IMAGE doctor` and `docker run IMAGE autotask-cc doctor` are the same. `exec`: the
# shell would keep SIGTERM for itself.
ENTRYPOINT ["sh", "-c", "[ \"$1\" != autotask-cc ] || shift; exec autotask-cc \"$@\"", "sh"]
CMD ["serve"]
