# `make repro` computes every number and figure of the project, `make test` tests it. Both install what they need into .venv first.
# `make setup CPU=1` takes PyTorch's CPU builds, without gigabytes of CUDA, where an index that pip knows has them.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
CPU_BUILDS := -E -e 's/^(torch|torchvision)==.*/&+cpu/' -e '/^(cuda|nvidia|triton)/d'
NO_CPU_BUILDS := CPU=1 needs PyTorch's own index, as PyPI has no builds called torch==...+cpu; docs/start/install.md says how to name it; without CPU=1 PyPI is enough
NO_INDEX := the first run needs the package index (a network or a mirror), later ones do not

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro test lint docs setup study
.DEFAULT_GOAL := repro

repro: setup
	@$(PY) tools/repair.py
	@$(PY) -m dvc --wait-for-lock repro
	@$(PY) tools/after_repro.py

test: setup
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --maxprocesses 4 --dist worksteal -m "not slow"

lint: setup
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

# The documentation as a site with offline search: .scratch/site/index.html
docs: setup
	@$(PY) -m tools.site

# A new study; its parameters are this one's, or those of another study: make study NAME=mine FROM=voc_animals
BEGIN = $(if $(FROM),studies/$(FROM)/)params.yaml
NEW = studies/$(NAME)
study:
	@case '$(NAME)' in ''|*/*|.*) echo "error: NAME='$(NAME)': expected a folder's name, as in: make study NAME=mine"; exit 1;; esac
	@[ -e '$(BEGIN)' ] || { echo "error: FROM='$(FROM)': no $(BEGIN); expected a study of studies/"; exit 1; }
	@mkdir -p '$(NEW)/data/links' && cp dvc.yaml '$(NEW)/' && cp data/links/README.md '$(NEW)/data/links/'
	@[ -e '$(NEW)/params.yaml' ] || sed -e 's|^root: [^ ]*|root: ../..|' -e 's|^here: [^ ]*|here: $(NEW)/|' '$(BEGIN)' > '$(NEW)/params.yaml'
	@[ -e '$(NEW)/README.md' ] || echo '# $(NAME)' > '$(NEW)/README.md'
	@echo "$(NEW): edit params.yaml and README.md, then: dvc repro $(NEW)/dvc.yaml"

# Without .git (a ZIP) DVC has to be told that there is no Git; `dvc exp` then needs a `git init` first.
setup: $(INSTALLED)
	@if [ -e .git ]; then $(PY) -m dvc config --local --unset core.no_scm 2>/dev/null || true; \
	else $(PY) -m dvc config --local core.no_scm true; fi

$(INSTALLED): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is missing or older than 3.11; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PY) -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) || \
	  { echo "error: no virtual environment can be made; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@sed $(if $(CPU),$(CPU_BUILDS),-e '') constraints.txt > $(VENV)/constraints.txt
	@echo "installing into $(VENV); PyTorch is large: some minutes$(if $(CPU),,; 6.5 GB of disk in all)"
	@$(PY) -m pip install --disable-pip-version-check -c $(VENV)/constraints.txt -e '.[dev,docs,onnx]' || \
	  { echo "error: pip could not install: $(if $(CPU),$(NO_CPU_BUILDS),$(NO_INDEX))"; exit 1; }
	@du -sh $(VENV)
	@echo "installed; in each new terminal: source $(VENV)/bin/activate"
	@touch $@
