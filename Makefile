# Two commands for a fresh machine:
#   make demo   install, then carry a trained detector to a verified INT8 plan
#   make test   install, then run the whole test suite; the last lines say what was skipped and why

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
JOBS ?= auto
DEMO := runs/demo

.PHONY: demo test lint clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint constraints.txt "torch==2.13.0"
	$(PIP) install --constraint constraints.txt --editable ".[cpu,quantize,rtx,openvino,train,dev]"
	@# The stubs depend on the library, which has no CPU wheel; only their types are needed.
	$(PIP) install --no-deps "tensorrt-stubs==10.13.0.35.1"
	@touch $@

# Scenes that the demo's detector has never seen: it was trained on those of seed 0 (docs/demo).
demo: $(VENV)/installed
	$(BIN)/python -m yolov12edge.data.synthetic $(DEMO)/scenes --train 192 --val 96 --seed 7
	$(BIN)/yolov12edge export --weights docs/demo/workshop-n.safetensors --int8 \
	    --target rtx-ampere --data $(DEMO)/scenes/data.yaml --out $(DEMO)/run
	$(BIN)/yolov12edge inspect $(DEMO)/run
	$(BIN)/yolov12edge report $(DEMO)/run --data $(DEMO)/scenes/data.yaml
	$(BIN)/yolov12edge predict $(DEMO)/scenes/images/val --artifact $(DEMO)/run/model.int8.onnx \
	    --out $(DEMO)/predictions

test: $(VENV)/installed
	$(BIN)/python -m pytest -n $(JOBS) $(FLAGS)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	find tests/cpp yolov12edge/cpp -name third_party -prune -o \
	    \( -name '*.[ch]pp' -o -name '*.h' -o -name '*.cu' \) -print0 | \
	    xargs -0 $(BIN)/clang-format --dry-run --Werror
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist runs .pytest_cache .mypy_cache .ruff_cache
