# The image of every Airflow process and of the pipeline's own commands. The Astro CLI builds it from Astro's runtime;
# docker-compose.yaml hands in the official image. Both are Airflow 3.3 and run without root.
ARG BASE_IMAGE=astrocrpublic.azurecr.io/runtime:3.3-2
FROM ${BASE_IMAGE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR ${AIRFLOW_HOME}

# the locked packages first: they change less often than the code
COPY requirements.txt ./requirements.txt
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

COPY --chmod=a+rX providers ./providers
COPY --chmod=a+rX include ./include
# built from copies, because these folders belong to root
RUN cp -r include providers /tmp/ \
    && pip install --no-cache-dir --no-deps --no-build-isolation \
        /tmp/include /tmp/providers/twitter /tmp/providers/twitter/simulator \
    && rm -rf /tmp/include /tmp/providers

COPY --chmod=a+rX dags ./dags
COPY --chmod=a+rX plugins ./plugins
COPY --chmod=a+rX soda ./soda
