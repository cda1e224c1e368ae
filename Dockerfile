# lrsearch as a command: docker build -t lrsearch . && docker run --rm lrsearch --help
FROM python:3.11-slim

# With --build-arg PIP_EXTRA_INDEX_URL=... an index with CPU builds of torch makes a smaller image.
ARG PIP_EXTRA_INDEX_URL

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY lrsearch lrsearch
COPY studies studies
# With what the example studies import; a study of your own may need packages beside these.
RUN pip install --no-cache-dir -c constraints.txt '.[examples]'

RUN useradd --create-home --uid 1000 lrsearch \
    && install --directory --mode=1777 /data /data/lrsearch-checkpoints
# USER and HOME for those who run it under another uid, which has no entry in /etc/passwd.
ENV USER=lrsearch HOME=/home/lrsearch PYTHONDONTWRITEBYTECODE=1
USER 1000
WORKDIR /data
ENTRYPOINT ["lrsearch"]
