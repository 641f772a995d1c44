# The course's verbs. Each first sets up what it needs in .venv and says so; nothing is to be activated.
# Another Python than python3: make lab PYTHON=python3.12

PYTHON ?= python3

.PHONY: install lab test soak build bench

install: ; @$(PYTHON) install.py
lab: install ; @.venv/bin/course lab
build: install ; @.venv/bin/course build
bench: install ; @.venv/bin/python benchmarks/summary.py
test: ; @$(PYTHON) install.py --test && .venv/bin/python tests/system_packages.py && .venv/bin/course build --check && .venv/bin/python -m pytest -rs -n 2 --dist loadgroup
soak: ; @$(PYTHON) install.py --test && .venv/bin/python -m pytest -rs -o python_files="soak_*.py"
