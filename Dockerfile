# docker build -t analyze .
# docker run --rm --read-only -v "$PWD:/data" analyze capture.pcap --keys keys/
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY analyzer analyzer
COPY dissectors dissectors
RUN python -m venv /opt/analyze && /opt/analyze/bin/pip install --no-cache-dir '.[compression]'

FROM python:3.13-slim
RUN useradd --uid 1000 --no-create-home analyze
COPY --from=build /opt/analyze /opt/analyze
ENV PATH=/opt/analyze/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 1000
WORKDIR /data
ENTRYPOINT ["analyze"]
CMD ["--help"]
