# One command each. All of them set up their own environment first, and only when something changed:
#
#   make demo    phantom hearts -> a trained promptable network -> masks, a picture and a table in out/demo
#   make test    every test, the slow ones too, and which lines none of them runs
#   make check   format, lint, types, fast tests: before every commit
#   make real    the same comparison on real images:  make real DATA=../shared/data LENGTHS='short long'
#   make start   short trainings from adapted weights and from scratch
#   make peft    tuning few parameters: what it costs and what it brings
#   make federated   adapters of sites that may not share their cases: local, central, averaged, global + local
#   make learn   learning a structure from a few cases, beside an atlas and full training
#   make drift   how often a look at changed phantoms raises an alarm, and how often one at the same
#   make aggregate   one network for all tasks, one per group, one per task, or experts, on phantoms
#   make task_vector structures that a network was never taught, by a support set without training, on phantoms
#   make weights what adapting a large model costs in time and memory
#   make inference   what an answer costs, beside nnU-Net and nnInteractive (half an hour on a calm machine)
#   make docs    the documentation, strictly checked, without network: out/site/index.html
#   make clean   removes what the targets above made, the environment included
#
# The submission container (container/README.md); VARIANT is cpu or cuda:
#
#   make wheelhouse          downloads the pinned wheels that it installs
#   make image MODEL=FOLDER  builds it around a trained model, without an index, with docker or else buildah
#   make image-test          builds it around a tiny model and compares what it answers with what we answer outside
#
#   make image FORM=cli      builds the package itself, any verb; needs no MODEL
#   make sbom                lists what the image holds, as CycloneDX JSON, in out/sbom-cpu.cdx.json
#
# FORM=grand-challenge, or autopet, makes the image without a model, and the upload with a test job, in out/FORM.
#
# PYTHON is any Python from 3.10 to 3.13 (make test PYTHON=python3.12); VENV is where the environment lives. WORKERS is
# how many processes share the tests: a number, or logical, which is one per core.

PYTHON ?= python3
VENV ?= .venv
DATA ?= ../shared/data
LENGTHS ?= short
SITE ?= out/site
VARIANT ?= cpu
WORKERS ?= logical

BIN := $(VENV)/bin
# What the installation depends on: the packages asked for, and the checkout that the editable install points at.
KEY := $(shell { pwd; cat pyproject.toml; } | cksum | cut -d ' ' -f 1)
STAMP := $(VENV)/.installed-$(KEY)
BROKEN := $(VENV)/.incomplete
# A file stays on one worker, with its fixtures; tests/conftest.py says which files begin.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.DELETE_ON_ERROR:
.PHONY: demo test check lint docs real start peft federated drift aggregate task_vector learn weights inference clean setup lint-image wheelhouse image image-care image-grand-challenge image-autopet image-cli image-test sbom

demo: $(STAMP)
	$(BIN)/nnunet-prompt demo -o out/demo

test: $(STAMP)
	$(PYTEST) -m "slow or not slow" --cov

check: lint
	$(PYTEST)

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	[ "$$(uname)" = Darwin ] || $(BIN)/actionlint  # it has no wheel for macOS

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --site-dir "$(abspath $(SITE))"
	@echo "$(SITE)/index.html"

real: $(STAMP)
	$(BIN)/python benchmarks/real.py "$(DATA)" --lengths $(LENGTHS)

start peft federated learn: $(STAMP)
	$(BIN)/python benchmarks/$@.py "$(DATA)"

drift aggregate task_vector: $(STAMP)
	$(BIN)/python benchmarks/$@.py

weights: $(STAMP)
	$(BIN)/python benchmarks/weights_adapt.py

inference: $(STAMP)
	$(BIN)/python benchmarks/inference $(if $(wildcard out/real),--real out/real)
	$(BIN)/python benchmarks/training_step.py

clean:
	rm -rf "$(VENV)" out build dist wheelhouse *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(STAMP)

lint-image: $(STAMP)
	$(BIN)/hadolint Dockerfile

# The name of a complete wheelhouse holds what it was made from, so that it may be copied from another machine.
LISTS := container/requirements.txt container/cli.txt container/torch-$(VARIANT).txt
WHEELS := wheelhouse/$(VARIANT)/.complete-$(shell cat $(LISTS) | cksum | cut -d ' ' -f 1)

wheelhouse: $(WHEELS)

$(WHEELS):
	$(MAKE) setup
	PYTHON="$(BIN)/python" container/wheelhouse.sh $(VARIANT) wheelhouse/$(VARIANT)
	@touch "$@"

# ENGINE is docker, podman or buildah; BASE another base with Python 3.11; MODEL_SHA256 the model that it has to be.
ENGINE ?= $(shell docker info >/dev/null 2>&1 && echo docker || echo buildah)
FORM ?= care
IMAGE ?= nnunet-prompt:$(if $(filter care,$(FORM)),$(VARIANT),$(FORM)-$(VARIANT))
UPLOAD ?= out/$(FORM)
LICENCE ?= not stated
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

BUILD = $(ENGINE) build $(if $(filter docker,$(ENGINE)),,--format docker) --platform linux/amd64 \
	$(BUILD_FLAGS) $(if $(BASE),--build-arg BASE="$(BASE)") --build-arg VARIANT=$(VARIANT) --build-arg VERSION=$(VERSION)

image: image-$(FORM)

image-care: $(WHEELS)
	@test -n "$(MODEL)" || { echo 'name a trained model: make image MODEL=FOLDER' >&2; exit 2; }
	@test "$(LICENCE)" != 'not stated' || \
		echo "warning: the image does not say under which licence its weights are: LICENCE='CC BY 4.0', say" >&2
	sha256="$$($(PYTHON) container/stage_model.py "$(MODEL)" build/model)" && \
		$(BUILD) --build-arg LICENCE="$(LICENCE)" --build-arg MODEL_SHA256="$(or $(MODEL_SHA256),$$sha256)" \
			-t $(IMAGE) .

# The platform takes no provenance attestations, which buildx adds and others do not.
# PACKER is a Python with the package in it; the one of the checkout unless it is named.
PACKER ?= $(BIN)/python

image-grand-challenge image-autopet: $(WHEELS) $(if $(filter $(BIN)/python,$(PACKER)),$(STAMP))
	@test -n "$(MODEL)" || { echo 'name a trained model: make image FORM=$(FORM) MODEL=FOLDER' >&2; exit 2; }
	$(PACKER) container/pack_job.py "$(MODEL)" "$(UPLOAD)" --form $(FORM) --image "$(IMAGE)" \
		$(if $(SOCKETS),--sockets "$(SOCKETS)")
	$(BUILD) $(if $(filter docker,$(ENGINE)),--provenance=false) --build-arg FORM=$(FORM) \
		--build-arg STATE="$(STATE)" --target grand-challenge -t $(IMAGE) .

image-cli: $(WHEELS)
	$(BUILD) --target cli -t $(IMAGE) .

# What stands in an image, from the distributions that are installed in it; nothing of it gets into the image.
sbom: $(WHEELS)
	PYTHON="$(PYTHON)" container/sbom.sh $(VARIANT) out/sbom-$(VARIANT).cdx.json

image-test: $(WHEELS)
	MAKE="$(MAKE)" PYTHON="$(PYTHON)" FORM="$(FORM)" container/image_test.sh

# Built in place, because an environment cannot be moved. An interrupted build leaves $(BROKEN) and starts afresh.
$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo 'nnunet_prompt needs Python 3.10 to 3.13; name one: make PYTHON=python3.12' >&2; exit 1; }
	@if [ -e "$(BROKEN)" ] || [ ! -x "$(BIN)/pip" ]; then \
		mkdir -p "$(VENV)" && touch "$(BROKEN)" && rm -f "$(VENV)"/.installed-* && \
		{ $(PYTHON) -m venv --clear "$(VENV)" || { $(PYTHON) -m venv --clear --without-pip "$(VENV)" && \
			$(PYTHON) -m pip --python "$(BIN)/python" install pip; }; }; \
	fi
	@touch "$(BROKEN)"
	@echo 'Installing nnunet_prompt and its tools into $(VENV) (a few minutes, once) ...'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'setuptools>=77' wheel
	$(BIN)/python -m pip install --disable-pip-version-check --no-build-isolation -e '.[dev]'
	@$(BIN)/python -c 'import torch, torchvision' || \
		{ echo 'torch and torchvision do not fit each other: look at `$(BIN)/pip config list`,' \
			'then run make clean and again with one index that holds both' >&2; exit 1; }
	@rm -f "$(VENV)"/.installed-* "$(BROKEN)"
	@touch "$@"
