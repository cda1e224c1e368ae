# lrsearch as a command: docker build -t lrsearch . && docker run --rm lrsearch --help
FROM python:3.11-slim

# TORCH=cpu installs exactly the files that deploy/requirements.lock names by hash. TORCH=cuda takes the
# versions of constraints.txt, with torch's build for NVIDIA GPUs: docker build --build-arg TORCH=cuda .
ARG TORCH=cpu

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY deploy/requirements.lock deploy/requirements.lock
# With what the example studies import; a study of your own may need packages beside these.
RUN if [ "$TORCH" = cpu ]; \
    then pip install --no-cache-dir --no-deps --require-hashes -r deploy/requirements.lock; fi
COPY lrsearch lrsearch
COPY studies studies
RUN if [ "$TORCH" = cpu ]; \
    then pip install --no-cache-dir --no-deps --no-build-isolation .; \
    else pip install --no-cache-dir -c constraints.txt '.[examples]'; fi

RUN useradd --create-home --uid 1000 lrsearch \
    && install --directory --mode=1777 /data /data/lrsearch-checkpoints
# USER and HOME for those who run it under another uid, which has no entry in /etc/passwd.
ENV USER=lrsearch HOME=/home/lrsearch PYTHONDONTWRITEBYTECODE=1
USER 1000
WORKDIR /data
ENTRYPOINT ["lrsearch"]
