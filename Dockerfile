# BASE may be any Debian-based image with Python 3.11 or later.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
# Empty takes pip's own source; name an index of CPU wheels for a small image, of CUDA wheels for a GPU.
ARG TORCH_INDEX=""
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /src
COPY constraints.txt ./
RUN python3 -m venv /opt/lossd \
    && if [ -n "${TORCH_INDEX}" ]; then \
         /opt/lossd/bin/pip install --no-cache-dir --no-deps --constraint constraints.txt torch --index-url "${TORCH_INDEX}"; \
       fi
COPY pyproject.toml README.md LICENSE ./
COPY service service
RUN /opt/lossd/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM ${BASE}
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin lossd
COPY --from=build /opt/lossd /opt/lossd
# Large bodies live in memory that is reused rather than given back and faulted in again each call.
ENV PATH=/opt/lossd/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_TRIM_THRESHOLD_=1000000000 \
    MALLOC_MMAP_THRESHOLD_=1000000000 \
    MALLOC_TOP_PAD_=67108864 \
    LOSSD_HOST=0.0.0.0 \
    LOSSD_PORT=8000
USER 10001
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python3", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"LOSSD_PORT\"]}/livez', timeout=2)"]
ENTRYPOINT ["lossd"]
CMD ["serve"]
