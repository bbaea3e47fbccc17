# `make serve` and `make test` are all that a fresh machine needs; Python 3.11, 3.12 or 3.13 must be there, with venv.

PYTHON ?= python3
PIP_INSTALL = .venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt
DATA ?= data
MPST ?= ../shared/corpus/mpst_full_data.csv
CMU ?= ../shared/corpus/booksummaries.txt
PROSE ?= ../shared/corpus/prose.jsonl

# A constant learning rate on prose and plots; plots alone, at a constant rate and at a falling one; then the guidance.
CONSTANT = --schedule constant --epochs 4 --evaluate-every 250 --patience 40
PLOTS = --source mpst --source cmu
LONG = $(PLOTS) --learning-rate 2e-3 --warmup 0.02 --batch-tokens 8192
PRETRAIN ?= --batch-tokens 8192 $(CONSTANT) --max-steps 1152
FINETUNE ?= $(LONG) $(CONSTANT) --max-steps 3640
COOLDOWN ?= $(LONG) --epochs 1 --evaluate-every 125 --patience 40
GUIDANCE ?= $(PLOTS) --learn-guidance 2 --learning-rate 1e-3 --epochs 1 --max-steps 480 --evaluate-every 80 --patience 40

.PHONY: serve test check bench screenshots font soak chaos gpu-check bundle lock clean

serve: .venv/serving  ## Serve the shipped bundle at http://127.0.0.1:8000
	.venv/bin/plotify serve

test: .venv/developing  ## Run all tests, in two processes
	.venv/bin/python -m pytest -n 2 --dist worksteal

check: .venv/developing  ## Lint, formatting, types, plain English, known vulnerabilities of the packages
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python -m tests.english
	.venv/bin/python -m tests.audit

bench: .venv/developing  ## Measure the engine, the way to the client and the desk: three minutes, a line in docs/history.md
	.venv/bin/plotify bench standard

screenshots: .venv/developing  ## Pictures of every page and state, two widths, light and dark, into build/screenshots
	.venv/bin/python -m tests.end_to_end.screenshots

# The licence reserves the font's name, so the subset has none. templates/OFL.txt is the licence.
font: .venv/developing  ## Cut the serif of the pages, Source Serif, to the letters of Europe's Latin alphabets
	.venv/bin/pip download --quiet --no-deps --dest build/font font-source-serif-pro==0.0.1
	cd build/font && ../../.venv/bin/python -m zipfile -e font_source_serif_pro-*.whl .
	cp build/font/font_source_serif_pro/files/LICENSE.txt templates/OFL.txt
	.venv/bin/pyftsubset build/font/font_source_serif_pro/files/SourceSerifPro-Regular.ttf \
	    --unicodes=20-7E,A0-17F,218-21B,2BC,2C6,2DC,1E9E,2010-2015,2018-201E,2020-2022,2026,2030,2032,2033,2039,203A,20AC,2212 \
	    --layout-features=ccmp,kern,liga,locl,mark,mkmk --name-IDs=0,13,14 --obfuscate-names --no-hinting \
	    --flavor=woff2 --output-file=templates/static/serif.woff2

soak: .venv/developing  ## 1,000 streams at once, ten minutes of twice what can be served, 20,000 requests, unequal clients: 20 minutes
	.venv/bin/plotify bench soak

chaos: .venv/developing  ## 2,000 clients who leave, kill -9 of servers, apps and engines, a model that fails, bad inputs
	.venv/bin/plotify bench chaos
	.venv/bin/plotify bench garbage

# Each stamp is newer than what it was installed from, so a second `make` installs nothing.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	    { echo "Plotify needs Python 3.11, 3.12 or 3.13; say which with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/serving: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing the packages that Plotify needs; a minute or two, once"
	$(PIP_INSTALL) --editable .
	@echo "Compiling the sampler for this processor; some seconds, once"
	.venv/bin/python -m server.engine.sampling
	touch $@

.venv/developing: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP_INSTALL) --editable '.[dev]'
	touch $@ .venv/serving

gpu-check: .venv/developing  ## On a machine with an NVIDIA GPU: the engine on it against the processor, and against PyTorch
	$(PIP_INSTALL) 'onnxruntime-gpu[cuda,cudnn]==1.31.1'
	.venv/bin/python -m pytest tests/server/engine/model/test_cuda.py -rs
	.venv/bin/plotify bench peers --device cuda --concurrency 1,8,64,256 --out build/gpu

bundle: .venv/developing  ## Train plotify-mini on the corpora and export it: eleven hours on two cores, resumable
	.venv/bin/plotify prepare --mpst $(MPST) --cmu $(CMU) --prose $(PROSE) --out $(DATA)/corpora
	.venv/bin/plotify train --data $(DATA)/corpora --base mini --out $(DATA)/pretrained $(PRETRAIN)
	.venv/bin/plotify train --data $(DATA)/corpora --base $(DATA)/pretrained --out $(DATA)/finetuned $(FINETUNE)
	.venv/bin/plotify train --data $(DATA)/corpora --base $(DATA)/finetuned --out $(DATA)/cooled $(COOLDOWN)
	.venv/bin/plotify train --data $(DATA)/corpora --base $(DATA)/cooled --out $(DATA)/plotify-mini $(GUIDANCE)
	.venv/bin/plotify export $(DATA)/plotify-mini --precision int8 --force --out models/plotify-mini

lock:  ## Resolve all extras anew and pin what that gives in constraints.txt
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/pip install --quiet --editable '.[dev,scale]'
	(head -2 constraints.txt; build/lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//') > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:  ## Remove the virtual environment and what tools left behind
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
