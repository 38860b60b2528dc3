# Everything that the workflow runs with, for Docker, Podman or Apptainer. The study is not in it:
# mount the repository at /study. See docs/cluster.md.
FROM python:3.11-slim-bookworm

WORKDIR /study
COPY requirements.txt .
RUN pip install --no-cache-dir --requirement requirements.txt

# Whoever runs it inside is who runs it outside, and has no home there.
RUN mkdir --mode 1777 /home/anyone
ENV HOME=/home/anyone
ENTRYPOINT ["snakemake"]
