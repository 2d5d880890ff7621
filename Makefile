# One line a command; the shell behind them is in .make/. `make` alone lists them.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test up submit setup check fmt format lint types imports bench ffmpeg-test build push run shell scan audit sbom images-test engine-test moto-test fuzz preview deploy destroy docs infra-docs lock clean

BIN := .venv/bin
STEP := @.make/step
# Further arguments for the tool behind a target: make test ARGS="-k probe -x"
ARGS :=

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## Process the sample pictures, then say where to look
	@.make/demo

test: setup ## Run all tests, on all cores
	@printf '\n== tests\n' # not a step: pytest says itself how long it took, as the last line
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

up: setup ## Run the whole pipeline on this machine, until Ctrl-C: ARGS="--port 4567"
	@$(BIN)/safelight up $(ARGS)

submit: setup ## Submit a job: JOB=transcode SRC=video.mp4 ARGS="--local --out out"
	@.make/submit $(ARGS) # JOB and SRC are in the environment: no quoting can go wrong

setup: ## Make .venv with everything pinned; instant when nothing changed
	@.make/setup

check: format lint types imports test ## The gate: format, lint, types, import rules, tests

fmt: setup ## Rewrite the code in the project's format
	@$(BIN)/ruff check --quiet --fix --select I .
	@$(BIN)/ruff format .

format: setup ## Check the format
	$(STEP) format $(BIN)/ruff format --check --quiet --diff .

lint: setup ## Check the code with ruff
	$(STEP) lint $(BIN)/ruff check --quiet .

types: setup ## Check the types, strictly
	$(STEP) types $(BIN)/mypy

imports: setup ## Check which module may import which
	$(STEP) imports $(BIN)/lint-imports --no-logo

bench: setup ## Measure speed against Pillow, sharp and the floor: ARGS="--corpus DIR"
	@$(BIN)/safelight bench $(ARGS)

ffmpeg-test: setup ## Run the tests of video with further versions of ffmpeg: ARGS="-k probe"
	@.make/ffmpeg-test $(ARGS)

build: ## Build both container images: ARCH=amd64|arm64|both
	@.make/build $(ARCH)

images-test: setup ## Test the built images: ARGS="-k lambda"
	@.make/images-test $(ARGS)

moto-test: setup ## Run the contract suites on moto's server, the second emulator: ARGS="-x"
	@.venv/bin/python -m pytest --emulator moto tests/contract $(ARGS)

engine-test: setup ## Test deployments with Pulumi's own engine, if it is installed: ARGS="-x"
	@.make/engine-test $(ARGS)

run: ## Run the command line in its image on this folder: ARGS="process /data/in --out /data/out"
	@.make/run $(ARGS)

shell: ## A shell in the image: IMAGE=safelight-batch
	@IMAGE="$(IMAGE)" .make/shell

scan: ## Look the images up in a database of known holes, if a scanner is there
	@.make/scan

audit: setup ## Look every pinned package up in a database of known holes
	@.make/audit

sbom: setup ## Write bills of materials (CycloneDX) of the pinned packages to build/sbom, of built images too
	@.make/sbom

push: setup ## Push the images to the repositories of the Pulumi stack, or to REGISTRY: TAG=<tag>
	@.make/push "$(REGISTRY)" "$(TAG)"

fuzz: setup ## Look for inputs that break parsers: TIME=60 ARGS="--target probe --seed 3"
	@$(BIN)/python -m tests.fuzz $(if $(TIME),--time $(TIME)) $(ARGS)

preview: setup ## Show what a deployment would change: STACK=dev
	@.make/preview "$(STACK)" $(ARGS)

deploy: setup ## Deploy to AWS, images included: STACK=dev YES=1 REGISTRY=...
	@.make/deploy "$(STACK)"

destroy: setup ## Delete a stack but its originals: STACK=dev ORIGINALS=delete
	@.make/destroy "$(STACK)"

docs: infra-docs ## Write everything in docs/ that follows from the code
	@$(BIN)/safelight events schema --write docs/events >/dev/null
	@$(BIN)/python -m tests.manual.reference

infra-docs: setup ## Write docs/infrastructure.md from the Pulumi program
	@$(BIN)/safelight infra docs

lock: setup ## Write the hashed requirement files anew: ARGS="--upgrade"
	@.make/lock $(ARGS)

clean: ## Remove everything that can be made again, .venv too
	@rm -rf .venv build demo bench *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find worker batch tests -name __pycache__ -type d -prune -exec rm -rf {} +
