# The three commands: `make lab`, `make demo` and `make test`. Each first sets up what it needs (a virtual
# environment in .venv with pinned packages) and skips that the next time; what one has set up, the
# others keep.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints/py311.txt
# Stamps: what the lab needs; with networks; with everything, and the tools of the tests
LIGHT := $(VENV)/.light
DEEP := $(VENV)/.deep
READY := $(VENV)/.ready
PINNED := pyproject.toml $(CONSTRAINTS) setup.sh
OUT ?= runs/demo

.PHONY: help lab demo test test-slow check bench bench-heads emodb heads leak fuzz docs notebooks site clean
help:
	@echo "make lab     set up, open a page that records your voice and says what a model hears in it"
	@echo "make demo    set up, make the embedded corpus, compare models on it, write a report"
	@echo "make test    set up, run the tests"
	@echo "make check   ruff, mypy --strict, import layers, generated documents"
	@echo "make bench   how fast the extractors are, against openSMILE and Praat"
	@echo "make bench-heads  what an epoch of every network costs"
	@echo "make heads   every model on EMO-DB's held-out speakers: docs/results/heads.md"
	@echo "make emodb   the EMO-DB comparison of docs/results/emodb.md (SERFEAT_CORPORA, see README)"
	@echo "make docs    write the generated documents again"
	@echo "make site    the documentation as a site: build/site"
	@echo "make notebooks    the teaching labs as notebooks: build/notebooks"

$(LIGHT): $(PINNED)
	@PYTHON="$(PYTHON)" sh setup.sh $(VENV) $(CONSTRAINTS) boost,lab
	@touch $(LIGHT)

$(DEEP): $(PINNED)
	@PYTHON="$(PYTHON)" sh setup.sh $(VENV) $(CONSTRAINTS) boost,deep,lab
	@touch $(LIGHT) $(DEEP)

$(READY): $(PINNED)
	@PYTHON="$(PYTHON)" sh setup.sh $(VENV) $(CONSTRAINTS) all,dev
	@touch $(LIGHT) $(DEEP) $(READY)

lab: $(LIGHT)
	@$(BIN)/serfeat lab

demo: $(DEEP)
	@echo "make demo: speaks 384 synthetic utterances (about 25 MB in $(OUT)), extracts features, trains"
	@echo "  7 models on 2 protocols and writes a report page; about 2 to 3 minutes on 2 cores."
	@$(BIN)/serfeat demo -o $(OUT)

test: $(READY)
	@echo "make test: runs the tests on up to four cores; about 8 minutes on 2, nothing is downloaded."
	@$(BIN)/python -m pytest -m "not slow" --numprocesses auto --maxprocesses 4 --dist loadfile

test-slow: $(READY)
	@echo "make test-slow: the tests marked slow (EMO-DB end to end); about a minute on 2 cores."
	@$(BIN)/python -m pytest -m slow

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest tests/test_layers.py tests/test_docs.py

bench: $(READY)
	@echo "make bench: times our extractors and the libraries' in turn; about 3 minutes."
	@$(BIN)/python bench/extractors.py

emodb: $(READY)
	@echo "make emodb: 9 models x 2 protocols on the whole EMO-DB; about 40 minutes on 2 cores."
	@$(BIN)/serfeat compare pipelines/emodb_classical_vs_deep.toml

bench-heads: $(READY)
	@echo "make bench-heads: three epochs of every network on random numbers; about 10 minutes."
	@$(BIN)/python bench/heads.py
	@$(BIN)/python bench/stacked.py timnet cnn1d transformer am_resnet

heads: $(READY)
	@echo "make heads: 22 models on the 10 held-out speakers of EMO-DB; about an hour on 2 cores."
	@$(BIN)/serfeat compare pipelines/emodb_heads.toml

leak: $(READY)
	@echo "make leak: random folds, held-out speakers and sentences on EMO-DB; about 40 minutes."
	@$(BIN)/serfeat compare leak

fuzz: $(READY)
	@echo "make fuzz: 100 000 mutated recordings, 1 000 000 manifests, recipes, imports; hours."
	@$(BIN)/python bench/fuzz.py --audio 100000 --texts 1000000 --imports 1000000

notebooks: $(READY)
	@$(BIN)/python labs/build.py -o build/notebooks

site: $(READY)
	@echo "make site: writes the documentation as a site; one to four minutes."
	@$(BIN)/mkdocs build --strict --site-dir build/site
	@echo "open build/site/index.html"

docs: $(READY)
	@$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) runs dist build .pytest_cache .mypy_cache .ruff_cache
