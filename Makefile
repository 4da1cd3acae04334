# Each target is one or two commands that can also be typed; see README.md.
PYTHON ?= python3.11
STUDIES ?= demo
ITERMASK2 = .venv/bin/python -W ignore -m bundle.cli

.PHONY: demo test lint label test-label test-page clean

# the main job on three simulated patients
demo: .venv/installed demo/datalist.json
	$(ITERMASK2) segment --datalist demo/datalist.json -o output/demo
	@echo "Open in a browser: $(CURDIR)/output/demo/report.html"

test: .venv/installed
	.venv/bin/ruff check . && .venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python -m pytest -n auto --dist worksteal --cov=bundle --cov-report=term:skip-covered

# a review in MONAI Label of the scans of a folder: make label STUDIES=folder
label: .venv-label/installed $(if $(filter demo,$(STUDIES)),demo/datalist.json)
	.venv-label/bin/python -W ignore -m bundle.cli label $(STUDIES)

test-label: .venv/installed .venv-label/installed
	.venv/bin/python -m pytest tests/label

# the review page in Chromium, which has to be installed: apt-get install chromium
test-page: .venv/installed
	.venv/bin/python -m pytest tests/page

demo/datalist.json: | .venv/installed
	$(ITERMASK2) phantom demo --training 0 --validation 0 --patients 3 --seed 900

.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet torch==2.13.0
	.venv/bin/pip install --quiet -r requirements.txt
	touch $@

.venv-label/installed: requirements-label.txt
	$(PYTHON) -m venv .venv-label
	.venv-label/bin/pip install --quiet torch==2.13.0
	.venv-label/bin/pip install --quiet --no-deps $$(sed -n 's/^# no-deps: //p' requirements-label.txt)
	.venv-label/bin/pip install --quiet -r requirements-label.txt
	touch $@

clean:
	rm -rf .venv .venv-label demo output
