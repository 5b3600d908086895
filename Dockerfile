# syntax=docker/dockerfile:1
# The platform's image: one for every process, from the hashed lock, without root and without compilers.
#
#   docker build --tag wearables-platform:0.1.0 .
#   docker build --tag wearables-platform-spark:0.1.0 --target spark .

FROM python:3.12.12-slim-bookworm AS build
ENV PIP_CACHE_DIR=/var/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
# Before the sources: a change of ours installs nothing anew. Wheels alone: what has none would need a compiler.
COPY requirements/runtime.txt requirements/bootstrap.txt requirements/
RUN --mount=type=cache,target=/var/cache/pip \
    pip install --require-hashes --only-binary :all: -r requirements/bootstrap.txt \
    && pip install --require-hashes --only-binary :all: -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE workspace.yaml ./
COPY wearables_platform wearables_platform
COPY stream stream
# Editable: the kernels' cache lies beside the sources and is keyed by their times, so both stay where they are.
RUN pip install --no-deps --no-build-isolation --editable .
# For every x86-64-v3 machine: a cache made for this machine's own features would be thrown away by another.
ENV NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=
RUN python -m stream.warm && PYTHONDONTWRITEBYTECODE= python -m compileall -q wearables_platform stream /opt/venv

FROM python:3.12.12-slim-bookworm AS runtime
# Directories of named volumes: Docker gives an empty volume the owner of the directory it is mounted over.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin wearables \
    && install -d -o wearables -g wearables /scratch /var/lib/wearables /var/lib/wearables/stream /var/lib/wearables/dagster \
       /var/lib/wearables/data /var/lib/wearables/data/mqtt /var/lib/wearables/webhook-secrets
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=
USER 10001:10001
ENTRYPOINT ["wearables"]
CMD ["--help"]

# With Spark and a Java of its own; for Dagster's code server alone. PySpark has no wheel: its source is Python and jars.
FROM build AS build-spark
COPY requirements/spark.txt requirements/
RUN --mount=type=cache,target=/var/cache/pip \
    pip install --require-hashes --no-build-isolation -r requirements/spark.txt

FROM runtime AS spark
USER 0:0
RUN apt-get update && apt-get install -y --no-install-recommends openjdk-17-jre-headless && rm -rf /var/lib/apt/lists/*
COPY --from=build-spark /opt/venv /opt/venv
USER 10001:10001

# The one that is built by default.
FROM runtime
