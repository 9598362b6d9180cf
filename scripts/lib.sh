# SPDX-License-Identifier: AGPL-3.0-or-later
# Shared by the scripts in this directory; source it, do not run it.
# shellcheck shell=sh

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
CACHE="$ROOT/.cache"
PATH="$CACHE/bin:$PATH"
export ROOT CACHE PATH

# Everything a run leaves behind stays in the repository's own cache.
UV_LINK_MODE=copy
export UV_LINK_MODE

die() {
	printf '%s\n' "$*" >&2
	exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# hash_of FILE... prints one content hash for a stamp file.
hash_of() { cat "$@" | sha256sum | cut -c1-16; }

# stamped NAME HASH is true when the step NAME was last finished with HASH.
stamped() { [ "$(cat "$CACHE/stamp/$1" 2>/dev/null || true)" = "$2" ]; }

stamp() {
	mkdir -p "$CACHE/stamp"
	printf '%s\n' "$2" >"$CACHE/stamp/$1"
}

DASHBOARD=services/gateway/dashboard

# dashboard_packages installs what the lock file of the dashboard names, unless it is there.
dashboard_packages() {
	lock=$(hash_of "$ROOT/$DASHBOARD/package-lock.json")
	if ! stamped npm "$lock" || [ ! -d "$ROOT/$DASHBOARD/node_modules" ]; then
		npm --prefix "$ROOT/$DASHBOARD" ci --no-audit --no-fund --loglevel=error
		stamp npm "$lock"
	fi
}

# python_312 prints an interpreter of 3.11 or newer, 3.12 when there is one.
python_312() {
	for py in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12*/bin/python python3.12 python3.13 python3.11 python3; do
		have "$py" || continue
		if "$py" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
			command -v "$py"
			return 0
		fi
	done
	die "Python 3.11 or newer with venv is missing: install python3 and python3-venv, or pyenv's 3.12."
}
