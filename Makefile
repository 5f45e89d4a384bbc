# One environment in .venv for everything; made anew only when its description changes.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
TEST := $(RUN) -m pytest --numprocesses 2 --durations 10

.PHONY: demo test test-slow check format gpu-kit gpu-check clean

demo: $(VENV)/.ready
	$(RUN) -m jaxreg.demo

# Quick tests of one file stay in one process: they share what is slow to make. Slow ones do not.
test: $(VENV)/.ready
	$(TEST) --dist loadfile

test-slow: $(VENV)/.ready
	$(TEST) --dist worksteal -m slow

check: $(VENV)/.ready
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/pyright --pythonpath $(RUN)

format: $(VENV)/.ready
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

# A folder for a machine with a GPU and no network (docs/machines.md); there, make gpu-check.
gpu-kit: $(VENV)/.ready
	$(RUN) gpu/pack.py

gpu-check: $(VENV)/.ready
	$(RUN) gpu/check.py

clean:
	rm -rf $(VENV)

# On a terminal the installer shows its progress; elsewhere it says only what goes wrong.
$(VENV)/.ready: pyproject.toml constraints.txt
	@rm -f $@
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "jaxreg needs Python 3.11 or newer; say which: make PYTHON=python3.12"; exit 1; }
	@echo "installing jaxreg and its tools into $(VENV): 1.2 GB to download, 4.7 GB on disk, 1 to 4 minutes"
	@quiet=--quiet; if [ -t 1 ]; then quiet=; fi; \
	if command -v uv >/dev/null; then \
		uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" $(VENV) && \
		uv pip install $$quiet --python $(RUN) -c constraints.txt -e '.[int8]' --group dev; \
	else \
		$(PYTHON) -m venv $(VENV) && \
		$(RUN) -m pip install --quiet --upgrade -c constraints.txt pip && \
		$(RUN) -m pip install $$quiet -c constraints.txt -e '.[int8]' --group dev; \
	fi || { echo "the installation into $(VENV) failed; the lines above say why" >&2; exit 1; }
	@touch $@
