# `make demo` and `make test` work on a bare machine with Python 3.11 or newer; both are safe to repeat.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

EVAL_ZOO ?= zoos/formal-languages-quick
EVAL_RESULTS ?= results/formal-languages-quick

LOWEST := .venv-lowest

SIDE_BY_SIDE := OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal
PROCESSOR_TESTS := captured_training downstream emulation encoders fused_layers inference_kernels \
	interrogation network numba_engine numba_kernels prober rebuild recurrence reference_engine symmetry \
	telling_probes threads verification

SAMPLES := rnnzoo/samples

.PHONY: help install demo eval quickstart samples test test-fast test-processors test-lowest check wheel clean

help:
	@echo "make demo     build two tiny zoos, verify them, load them with datasets, draw them (a few minutes)"
	@echo "make eval     build a zoo of some hundred networks and compare all encoders on it (minutes)"
	@echo "make test     run all tests, two at a time"
	@echo "make test-fast  those that protect most, in a minute and a half"
	@echo "make test-processors  those that depend on the processor, as on other processors"
	@echo "make test-lowest  those that touch the packages we need, with their lowest versions (6 GB)"
	@echo "make check    ruff and mypy"
	@echo "make quickstart  run docs/quickstart.ipynb and keep in it what it shows"
	@echo "make samples  build the zoos that the package comes with anew (a minute)"
	@echo "make install  create $(VENV) with rnnzoo and its tools in it"
	@echo "make wheel    build a wheel into dist/"
	@echo "make clean    remove what the targets above made, except $(VENV)"

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "rnnzoo needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[build,cluster,eval,sample,dev]"
	@touch $@

demo: install
	$(BIN)/rnnzoo build formal-languages --scale tiny --out demo/formal-languages
	$(BIN)/rnnzoo build smnist --scale tiny --mnist sample --out demo/smnist
	for zoo in formal-languages smnist; do \
		$(BIN)/rnnzoo verify demo/$$zoo && $(BIN)/python docs/demo.py demo/$$zoo && \
		$(BIN)/rnnzoo show demo/$$zoo --plot demo/$$zoo.png || exit 1; \
	done

# Recorded rollouts are what emulation learns from: forty per snapshot are plenty for so short a training.
eval: install
	$(BIN)/rnnzoo build formal-languages --scale small --models 320 --set rollouts.evaluated=200 \
		--set rollouts.recorded=40 --workers 2 --out $(EVAL_ZOO)
	$(BIN)/rnnzoo eval $(EVAL_ZOO) --profile quick --out $(EVAL_RESULTS)

quickstart: install
	$(BIN)/python docs/run_notebook.py docs/quickstart.ipynb

# Networks of the shape of the published zoos, each once barely trained and once well: what fits into 3 MB of a wheel.
samples: install
	rm -rf build/samples
	$(BIN)/rnnzoo build formal-languages --scale tiny --models 12 --snapshots 200,2000 --set rollouts.recorded=20 \
		--engine numba --out build/samples/formal-languages
	$(BIN)/rnnzoo build smnist --scale tiny --models 12 --snapshots 200,5000 --set rollouts.recorded=10 \
		--mnist sample --engine numba --out build/samples/smnist
	for zoo in formal-languages smnist; do \
		$(BIN)/rnnzoo verify --all build/samples/$$zoo && rm -rf $(SAMPLES)/$$zoo && \
		cp -r build/samples/$$zoo $(SAMPLES)/$$zoo || exit 1; \
	done

# Two processes share the cores, one thread each. What needs the whole machine follows alone.
test: install
	$(SIDE_BY_SIDE) -m "not whole_machine"
	$(BIN)/python -m pytest -m whole_machine

test-fast: install
	$(SIDE_BY_SIDE) -m "not whole_machine and not slow"

# One at a time: PyTorch without vector instructions, oneDNN and Numba without AVX-512, one thread, more than cores.
test-processors: install
	for setting in ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=AVX2 NUMBA_CPU_NAME=haswell OMP_NUM_THREADS=1 \
		OMP_NUM_THREADS=4; do \
		echo "$$setting" && env $$setting $(BIN)/python -m pytest $(PROCESSOR_TESTS:%=tests/test_%.py) || exit 1; \
	done

# Tests that touch each dependency, with the lowest versions that pyproject.toml allows. PyTorch's is a CUDA build: 3 GB.
test-lowest:
	test -d $(LOWEST) || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --constraint constraints-lowest.txt --editable ".[build,cluster,eval,sample]" \
		hypothesis pytest psutil pillow
	$(LOWEST)/bin/python -m pytest tests/test_load_dataset.py tests/test_hub.py tests/test_push.py tests/test_conditions.py tests/test_zoo.py \
		tests/test_cli.py tests/test_strict_json.py tests/test_display.py

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: install
	$(BIN)/python -m build --wheel

clean:
	rm -rf build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
