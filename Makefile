# Two commands for a fresh machine:
#   make demo   install, then carry a detector from checkpoint to verified plan
#   make test   install, then run the whole test suite

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
	$(PIP) install --constraint constraints.txt --editable ".[quantize,rtx,openvino,train,dev]"
	@# The stubs depend on the library, which has no CPU wheel; only their types are needed.
	$(PIP) install --no-deps "tensorrt-stubs==10.13.0.35.1"
	@touch $@

# The demo's weights are seeded, not trained: full of near ties, on which mAP says little. Its gate is
# parity: every rewrite step, the ONNX file in ONNX Runtime, and every block of the FP16 graph.
demo: $(VENV)/installed
	$(BIN)/python docs/demo/make_inputs.py $(DEMO)/inputs
	$(BIN)/yolov12edge export --weights $(DEMO)/inputs/yolov12n-seeded.safetensors --imgsz 320 \
	    --fp16 --target rtx-ampere --calib $(DEMO)/inputs/pictures --no-verify --out $(DEMO)/export
	$(BIN)/yolov12edge verify $(DEMO)/export --images $(DEMO)/inputs/pictures \
	    --max-drop 0.25 --min-matched 0.9
	$(BIN)/yolov12edge inspect $(DEMO)/export
	$(BIN)/yolov12edge predict $(DEMO)/inputs/pictures --artifact $(DEMO)/export/model.onnx \
	    --out $(DEMO)/predictions

test: $(VENV)/installed
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist runs .pytest_cache .mypy_cache .ruff_cache
