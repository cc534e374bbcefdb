# The image of every Airflow process and of the pipeline's own commands. The Astro CLI builds it from Astro's runtime;
# docker-compose.yaml hands in the official image. Both are Airflow 3.3 and run without root.
ARG BASE_IMAGE=astrocrpublic.azurecr.io/runtime:3.3-2
FROM ${BASE_IMAGE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR ${AIRFLOW_HOME}

# the locked packages first: they change less often than the code
COPY requirements.txt ./requirements.txt
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

COPY --chmod=755 providers ./providers
COPY --chmod=755 include ./include
# built from copies, because these folders belong to root
RUN cp -r include providers /tmp/ \
    && pip install --no-cache-dir --no-deps --no-build-isolation \
        /tmp/include /tmp/providers/twitter/envelope /tmp/providers/twitter /tmp/providers/twitter/simulator \
    && rm -rf /tmp/include /tmp/providers

COPY --chmod=755 dags ./dags
COPY --chmod=755 plugins ./plugins
COPY --chmod=755 soda ./soda
COPY --chmod=755 docs/operations.md ./docs/operations.md
