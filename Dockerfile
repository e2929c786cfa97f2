# `make image` puts wheels and model in place and builds this, by default the submission. No index is asked for anything.

# The wheels in the wheelhouse are for Python 3.11; another base needs the same.
ARG BASE=python:3.11.16-slim-bookworm@sha256:528257d48c1da0dcecc2e725d1ae34498d60c965f1241e39cd6a85a8859bdf84

# What is installed: pinned wheels, and our own wheel, built with the pinned setuptools.
FROM ${BASE} AS installed
ARG VARIANT=cpu
COPY wheelhouse/${VARIANT} /wheelhouse
COPY container/requirements.txt container/torch-${VARIANT}.txt /lists/
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheelhouse PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# torch's own tests and headers are a tenth of the image
RUN python3 -m venv /opt/venv && \
    /opt/venv/bin/pip install --no-deps -r /lists/requirements.txt -r /lists/torch-${VARIANT}.txt && \
    rm -rf /opt/venv/lib/python3*/site-packages/torch/test /opt/venv/lib/python3*/site-packages/torch/include \
        /opt/venv/lib/python3*/site-packages/torch/bin/test_*
COPY pyproject.toml README.md LICENSE /source/
COPY nnunet_prompt /source/nnunet_prompt
COPY trainers /source/trainers
COPY dataset_conversion /source/dataset_conversion
RUN /opt/venv/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel /source && \
    /opt/venv/bin/pip install --no-deps /wheel/*.whl && \
    /opt/venv/bin/pip uninstall --yes pip

# The package itself, any of its verbs: with what `view` serves pages with, and without nnU-Net's transformer trainers.
# These want timm and torchvision, and nnU-Net's search for trainers imports every file there is.
FROM installed AS installed-cli
COPY container/cli.txt /lists/
RUN python3 -m venv /pip && \
    /pip/bin/pip --python /opt/venv/bin/python install --no-deps -r /lists/cli.txt && \
    rm -rf /pip /opt/venv/lib/python3*/site-packages/nnunetv2/training/nnUNetTrainer/primus

FROM ${BASE} AS settings
# LOGNAME: torch asks who runs it, also where the user has a number only. HOME: matplotlib wants to write somewhere.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    LOGNAME=nnunet \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 10001:10001

# torch.compile wants a C compiler.
FROM settings AS cli
ARG VERSION
LABEL org.opencontainers.image.title="nnunet-prompt" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV nnUNet_compile=f
COPY --from=installed-cli /opt/venv /opt/venv
HEALTHCHECK NONE
ENTRYPOINT ["nnunet-prompt"]
CMD ["--help"]

FROM settings AS runtime
COPY --from=installed /opt/venv /opt/venv
ENV nnUNet_prompt_input=/input \
    nnUNet_prompt_output=/output \
    nnUNet_prompt_model=/opt/model

# Grand Challenge: the weights come as a tarball, which the platform unpacks at /opt/ml/model. No options can be given there.
FROM runtime AS grand-challenge
ARG VERSION
ARG FORM=grand-challenge
ARG STATE
LABEL org.opencontainers.image.title="nnunet-prompt submit --form ${FORM}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV nnUNet_prompt_form=${FORM} \
    nnUNet_prompt_state=${STATE}
HEALTHCHECK NONE
ENTRYPOINT ["nnunet-prompt", "submit", "-m", "/opt/ml/model"]

# The model is what was named, file by file, and it answers: else there is no image.
FROM runtime AS checked
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ARG MODEL_SHA256
COPY build/model /opt/model
WORKDIR /opt/model
RUN echo "${MODEL_SHA256}  model.sha256" | sha256sum --check --strict && \
    sha256sum --check --strict model.sha256 && \
    cut -c 67- model.sha256 > /tmp/named && \
    find . -type f ! -name model.sha256 -printf '%P\n' | LC_ALL=C sort | diff /tmp/named - && \
    python3 -m nnunet_prompt.cli.self_check /opt/model

FROM runtime
ARG VERSION
ARG MODEL_SHA256
ARG LICENCE="not stated"
LABEL org.opencontainers.image.title="nnunet-prompt submit" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      nnunet-prompt.model.licence="${LICENCE}" \
      nnunet-prompt.model.sha256="${MODEL_SHA256}"
COPY --from=checked /opt/model /opt/model
HEALTHCHECK NONE
ENTRYPOINT ["nnunet-prompt", "submit"]
