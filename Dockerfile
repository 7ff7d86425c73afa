# Any Debian-based image with Python 3.11 or later and its venv module.
ARG BASE=python:3.11-slim

FROM ${BASE} AS builder
# Where torch's wheel comes from. Empty is pip's own index, whose Linux wheels may carry CUDA
# (gigabytes); name an index of CPU-only wheels for a small image.
ARG TORCH_INDEX=""
WORKDIR /src
RUN python3 -m venv /opt/lossd
ENV PATH=/opt/lossd/bin:$PATH

# The dependencies first: this layer changes only with these two files. torch goes first and alone,
# so that the resolver finds it installed; its own dependencies come from pip's index, as pinned.
COPY pyproject.toml constraints.txt ./
RUN python3 -c "import tomllib; of = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
more = of['optional-dependencies']; print(*of['dependencies'], *more['arrow'], *more['zstd'], sep='\n')" \
        > requirements.txt \
    && if [ -n "${TORCH_INDEX}" ]; then \
        pip install --no-cache-dir --no-deps --constraint constraints.txt --index-url "${TORCH_INDEX}" torch; \
    fi \
    && pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt

COPY README.md LICENSE ./
COPY service service
# Without pip, nothing in the image can install anything.
RUN pip install --no-cache-dir --no-deps --constraint constraints.txt . \
    && pip check \
    && pip uninstall --yes pip \
    && NUMBA_CACHE_DIR=/opt/kernels python -c 'import lossd.engine'

FROM ${BASE}
# Where losses are computed: cpu; cuda or auto for an image that is given a GPU.
ARG DEVICE=cpu
RUN groupadd --gid 10001 lossd \
    && useradd --uid 10001 --gid lossd --no-create-home --home-dir /tmp --shell /usr/sbin/nologin lossd
# Triton builds its link to CUDA when it starts, with a C compiler; without one no kernel is fused.
# hadolint ignore=DL3008 # whichever version the image's distribution has
RUN if [ "${DEVICE}" != cpu ]; then \
        apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev \
        && rm -rf /var/lib/apt/lists/*; \
    fi
COPY --from=builder /opt/lossd /opt/lossd
# Kernels, compiled for the processor that built the image; on another one, or where this folder
# cannot be written to, they are compiled at every start, before /readyz says 200.
COPY --from=builder --chown=lossd:lossd /opt/kernels /opt/kernels

# - HOST: the container's interface; who reaches it is decided by the ports that are published.
# - DONTWRITEBYTECODE, HOME, TMPDIR: the root file system may be read-only. The CPU path writes
#   nothing; what CUDA's compilers cache goes to /tmp, which a read-only container mounts as tmpfs.
# - MALLOC_*: without them glibc hands large buffers back to the kernel after every call and faults
#   them in again; keeping them made a 16 MB upload 21 -> 6 ms. The price is memory that stays held.
ENV PATH=/opt/lossd/bin:$PATH \
    LOSSD_HOST=0.0.0.0 \
    LOSSD_PORT=8000 \
    LOSSD_DEVICE=${DEVICE} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    TMPDIR=/tmp \
    NUMBA_CACHE_DIR=/opt/kernels \
    MALLOC_TRIM_THRESHOLD_=1000000000 \
    MALLOC_MMAP_THRESHOLD_=1000000000 \
    MALLOC_TOP_PAD_=67108864

WORKDIR /tmp
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# An opener of its own, so that a proxy in the environment is not asked for loopback.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['LOSSD_PORT'] + '/livez', timeout=4)"]
ENTRYPOINT ["lossd"]
CMD ["serve"]
