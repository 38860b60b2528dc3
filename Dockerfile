# Everything that the workflow runs with, for Docker, Podman or Apptainer. The study is not in it:
# mount the repository at /study. See docs/cluster.md.
FROM python:3.11-slim-bookworm

COPY requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir --requirement /tmp/requirements.txt && rm /tmp/requirements.txt

# Whoever runs it inside is who runs it outside, and has no home there.
ENV HOME=/tmp MPLCONFIGDIR=/tmp NUMBA_CACHE_DIR=/tmp
WORKDIR /study
ENTRYPOINT ["snakemake"]
