# Everything here needs Python 3.11 or later, and nothing else that it doesn't install itself into
# .venv; the help of a target says which system packages it wants.
PYTHON ?= python3
# Enough to overlap the waiting of the tests, which is most of their time, on two cores.
TEST_WORKERS ?= 4
# How often each test kills that does little else.
KILLS ?= 40
# What the image can speak with, beside volumes.
CLOUDS ?= s3,gcs,azure

.DEFAULT_GOAL := help
.PHONY: help demo demo-s3 test lint format test-ceph test-image test-browser test-writers test-monitoring test-killed screenshots docs bench bench-report bench-send bench-send-report bench-start bench-round-trip bench-plan bench-killed bench-scale bench-idle bench-latency bench-image image image-shell-less lock clean

VENV := .venv/python-$(shell $(PYTHON) -c 'import platform; print(platform.python_version())')
PIP := .venv/bin/python -m pip -qq --disable-pip-version-check --no-input
PYTEST := .venv/bin/python -m pytest
LOCKED := --require-hashes --only-binary :all:
UV := build/lock/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 \
	--generate-hashes --no-strip-extras --upgrade --custom-compile-command 'make lock'

help:
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-18s%s\n", $$1, $$2 }' Makefile

demo: .venv/runtime ## a job between an init and a sync, over local directories
	@.venv/bin/python demo/demo.py local

demo-s3: .venv/dev ## the same over a real S3 server on this machine
	@.venv/bin/python demo/demo.py s3

test: .venv/dev ## the whole suite with its servers, and the coverage it must reach (Debian: git rsync)
	@containers/need git rsync
	$(PYTEST) -m 'not ceph and not image and not browser and not writers and not promtool' -n $(TEST_WORKERS) --dist worksteal --cov --cov-report term

lint: .venv/dev ## ruff (lint and format) and mypy, strict
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
	.venv/bin/python -m mypy tests/typing
	MYPYPATH=benchmarks .venv/bin/python -m mypy benchmarks/fetch.py benchmarks/send.py benchmarks/report.py benchmarks/launch.py benchmarks/boto3_fetch.py benchmarks/killed.py benchmarks/layers.py
	MYPYPATH=containers/finish .venv/bin/python -m mypy containers/finish/__main__.py

format: .venv/dev ## what ruff can mend by itself
	.venv/bin/python -m ruff check --fix-only .
	.venv/bin/python -m ruff format .

test-ceph: .venv/dev ## over a Ceph RGW (Debian: ceph-mon ceph-osd radosgw ceph-common)
	@containers/need ceph-mon ceph-osd radosgw ceph
	$(PYTEST) -m ceph

test-image: .venv/dev ## the image as containers, rendered jobs as pods (root; Debian: podman buildah runc catatonit netavark aardvark-dns mmdebstrap)
	@containers/need podman buildah runc catatonit mmdebstrap
	$(PYTEST) -m image -n 2 --dist loadfile

test-browser: .venv/dev ## the status page in a headless Chromium (Debian: chromium chromium-driver)
	@containers/need chromium chromedriver
	$(PYTEST) -m browser

screenshots: .venv/dev ## the pictures of docs/status.md, by the same browser
	@containers/need chromium chromedriver
	.venv/bin/python tests/browser/screenshots.py

test-monitoring: .venv/dev ## alerts, dashboard and scrape configuration, by Prometheus' promtool (Debian: prometheus)
	@containers/need promtool
	$(PYTEST) -m promtool

test-killed: .venv/dev ## every test that kills the sidecar, with 40 kills each (KILLS=40; Debian: git rsync)
	@containers/need git rsync
	LIGHTERMAN_TEST_KILLS=$(KILLS) $(PYTEST) -m 'not ceph' -n 2 --dist worksteal -rP tests/e2e/test_sidecar_killed.py tests/e2e/test_groups_killed.py tests/e2e/test_writers_killed.py

test-writers: .venv/dev build/writers/installed ## under NumPy, PyArrow, safetensors, PyTorch and a TensorBoard writer (Debian: git rsync)
	$(PYTEST) -m writers

docs: build/docs/installed ## the site of docs/, into build/site; whatever leads nowhere in it is an error
	NO_MKDOCS_2_WARNING=1 build/docs/bin/python -m mkdocs build --strict
	@! grep -rlE '<(script|link|img|iframe)[^>]* (src|href)="?(https?:)?//' build/site --include='*.html' || { echo 'these pages load something from elsewhere' >&2; exit 1; }

bench: .venv/bench ## init beside s5cmd, rclone and boto3 (Debian: nginx-light libnginx-mod-http-lua); BENCH='--rows small'
	.venv/bin/python benchmarks/fetch.py $(BENCH)

bench-report: .venv/dev ## the last run's tables and plot into docs/performance.md
	.venv/bin/python benchmarks/report.py

bench-send: .venv/bench ## sync beside s5cmd and rclone (Debian: nginx-light libnginx-mod-http-lua; ceph-… for one row); BENCH='--rows small'
	.venv/bin/python benchmarks/send.py $(BENCH)

bench-send-report: .venv/dev ## the last such run's tables and plot into docs/performance.md
	.venv/bin/python benchmarks/report.py send

bench-start: .venv/dev ## the cold start, beside the AWS CLI
	.venv/bin/python benchmarks/cold_start.py

bench-round-trip: .venv/dev ## up by the sidecar and down by init, over every kind of place
	.venv/bin/python benchmarks/round_trip.py

bench-plan: .venv/dev ## listing and planning of millions of keys: time and memory
	.venv/bin/python benchmarks/plan_scale.py
	.venv/bin/python benchmarks/listings.py

bench-idle: .venv/dev ## what a sidecar costs while nothing happens, beside 100,000 files (6 minutes)
	.venv/bin/python benchmarks/idle.py $(BENCH)

bench-latency: .venv/dev ## from a file's close to its visibility in the bucket
	.venv/bin/python benchmarks/latency.py $(BENCH)

bench-image: .venv/bench ## the images beside rclone and the AWS CLI: size, cold start, memory (root; Debian: as for test-image)
	@containers/need podman buildah runc catatonit mmdebstrap
	.venv/bin/python benchmarks/image.py $(BENCH)

bench-killed: .venv/bench ## init killed at random moments and started again: what is fetched twice
	.venv/bin/python benchmarks/killed.py $(BENCH)

bench-scale: .venv/dev ## the sidecar over 10,000 and 1,000,000 files: start, idling, one change, the end
	.venv/bin/python benchmarks/scale.py $(BENCH)

image: ## the image, as lighterman:latest (root; Debian: as for test-image); CLOUDS=s3 leaves the other clouds out
	containers/build-image lighterman:latest --build-arg CLOUDS=$(CLOUDS)

image-shell-less: ## the same on a base without a shell, as lighterman:shell-less
	containers/build-image lighterman:shell-less --target shell-less --build-arg CLOUDS=$(CLOUDS)

lock: pyproject.toml requirements/build.in ## newest versions into requirements/*.txt, with hashes
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip -qq --disable-pip-version-check install uv==0.13.8
	$(UV) pyproject.toml requirements/build.in --group dev -o requirements/dev.txt
	$(UV) pyproject.toml -c requirements/dev.txt -o requirements/runtime.txt
	$(UV) --group bench -c requirements/dev.txt -o requirements/bench.txt
	$(UV) requirements/build.in -c requirements/dev.txt -o requirements/build.txt
	$(UV) --group docs -o requirements/docs.txt
	$(UV) requirements/sbom.in -c requirements/dev.txt -o requirements/sbom.txt

clean: ## without .venv and everything that was built
	rm -rf .venv build dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A .venv in three steps, each done again when what it came from changed: one with what the program
# uses, the project in it, and all that the tests use.
$(VENV): requirements/build.txt requirements/runtime.txt
	@echo 'making .venv …'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later, please: make PYTHON=python3.11")'
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) install $(LOCKED) -r requirements/build.txt -r requirements/runtime.txt
	@touch $@

.venv/runtime: $(VENV) pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/runtime requirements/dev.txt tests/servers/package-lock.json
	@echo 'installing what the tests use …'
	@$(PIP) install $(LOCKED) -r requirements/dev.txt
	@.venv/bin/python tests/servers/azurite_install.py .venv/azurite
	@touch $@

# The writers are no part of .venv: the tests run them as jobs do, with an interpreter of their own.
build/writers/installed: requirements/writers.txt
	@echo 'installing the writers …'
	@$(PYTHON) -m venv --clear build/writers
	@build/writers/bin/python -m pip -qq --disable-pip-version-check --no-input install -r $<
	@touch $@

# Nor is what makes the site.
build/docs/installed: requirements/docs.txt
	@echo 'installing MkDocs …'
	@$(PYTHON) -m venv --clear build/docs
	@build/docs/bin/python -m pip -qq --disable-pip-version-check --no-input install $(LOCKED) -r $<
	@touch $@

.venv/bench: .venv/dev requirements/bench.txt
	@$(PIP) install $(LOCKED) -r requirements/bench.txt
	@touch $@
