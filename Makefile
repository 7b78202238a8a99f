# Every target makes .venv by itself, once, from pip alone. PYTHON=python3.12 picks the interpreter.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
MAKESPAN_PROVE_SCALE ?= 1.0
export MAKESPAN_PROVE_SCALE

BIN := .venv/bin
comma := ,
MYPY_PATHS := src examples bench tests/architecture tests/docs
# What `check` runs and `test` need not: that the code keeps its rules, and that the documents are true.
CHECKED := tests/architecture tests/typing tests/docs
# Tests with drawn examples, of which `test` tries a part.
LAWS := tests/property/test_graph_laws.py tests/planners/formats/test_readers_agree.py tests/machine/test_broker.py

NPM_IS_THERE = @command -v npm >/dev/null || { \
	echo "the web UI and its tests need Node 20.19 or later with npm: apt-get install nodejs npm" >&2; exit 1; }

# $(call timed,name,command): run the command, print how long it took, keep its exit status.
timed = @start=$$(date +%s); status=0; $(2) || status=$$?; echo "$(1): $$(($$(date +%s) - start)) s"; exit $$status

.PHONY: run test check prove bench ui browser shots clean

run: .venv/.run-ready
	$(call timed,model download and check,$(BIN)/makespan models pull)
	$(call timed,run,$(BIN)/python -m examples.incident $(ARGS))

test: .venv/.dev-ready
	$(call timed,test,$(BIN)/python -m pytest -n auto --dist worksteal -m "not prove and not embedded" \
		$(CHECKED:%=--ignore %) $(ARGS))

check: .venv/.dev-ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict $(MYPY_PATHS)
	$(BIN)/basedpyright --warnings examples
	$(BIN)/python -m pytest -q -n auto --dist worksteal $(CHECKED)

prove: .venv/.dev-ready .venv-inspect/.ready browser frontend/node_modules/.package-lock.json
	$(call timed,model download and check,$(BIN)/makespan models pull)
	$(call timed,prove,$(BIN)/python -m pytest -n auto --dist worksteal -m "prove and not embedded" -rP $(ARGS))
	$(call timed,laws,MAKESPAN_EXAMPLES=1 $(BIN)/python -m pytest -q -n auto $(LAWS))
	$(call timed,embedded,$(BIN)/python -m pytest -m embedded -rP $(ARGS))

bench: .venv/.dev-ready
	$(call timed,bench,$(BIN)/python -m bench $(ARGS))

# The web UI, from frontend/ into the package. Needs Node 20.19 or later; nobody else does, for the bundle is committed.
ui: frontend/node_modules/.package-lock.json
	cd frontend && npm run check && npm test && npm run build
	python3 frontend/source_hash.py --write

frontend/node_modules/.package-lock.json: frontend/package.json frontend/package-lock.json
	$(NPM_IS_THERE)
	cd frontend && npm ci --no-fund --no-audit

# What the tests of the pages need: Node, a Chromium, and the library that drives it.
browser: frontend/e2e/node_modules/.package-lock.json
	@for p in "$$CHROMIUM" chromium chromium-browser google-chrome; do command -v "$$p" >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; \
	else echo "the tests of the pages need Chromium: apt-get install chromium, or CHROMIUM=/path/to/one" >&2; exit 1; fi

frontend/e2e/node_modules/.package-lock.json: frontend/e2e/package.json frontend/e2e/package-lock.json
	$(NPM_IS_THERE)
	cd frontend/e2e && npm ci --no-fund --no-audit

# The pictures of docs/web.md, of runs made for them.
shots: .venv/.dev-ready browser
	$(BIN)/python -m tests.web.shots docs/images

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What runs needs no development tools; what develops can run too.
.venv/.run-ready: pyproject.toml .ci/make_venv.py
	@$(if $(PYTHON),,echo "makespan needs Python 3.11 or later; set PYTHON=/path/to/python" >&2; exit 1;) \
	$(PYTHON) .ci/make_venv.py local
	@touch $@

.venv/.dev-ready: pyproject.toml .ci/make_venv.py
	@$(if $(PYTHON),,echo "makespan needs Python 3.11 or later; set PYTHON=/path/to/python" >&2; exit 1;) \
	$(PYTHON) .ci/make_venv.py local,plan,dev
	@touch .venv/.run-ready $@

# Inspect reads the eval logs that we write. It is 325 MB, so it has a place of its own, and only `prove` wants it.
.venv-inspect/.ready: .venv/.dev-ready
	$(PYTHON) -m venv --clear --without-pip .venv-inspect
	$(call timed,inspect_ai,$(BIN)/python -m pip --python .venv-inspect/bin/python install -qq "inspect_ai>=0.3.100$(comma)<0.4")
	@touch $@
