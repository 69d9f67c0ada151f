#!/usr/bin/env bash
# pytest 9.2.0 with pytest-xdist 3.8.0: tests of one xdist_group run in several workers at once.
#
# With `--dist loadgroup`, pytest-xdist appends `@group` to the node ids of marked tests, and its scheduler keeps ids with the
# same group in one worker. pytest 9.2.0 computes the id anew, so the scheduler sees no group. No error, no warning: tests
# that share a port or a daemon run into one another. pytest 9.1.1 keeps the group.
#
# Needs: Python 3.10 or later with venv, PyPI. Takes half a minute. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >test_group.py <<'PY'
import os
import time

import pytest


@pytest.mark.xdist_group("one daemon")
@pytest.mark.parametrize("number", range(4))
def test_uses_the_daemon(number):
    with open(os.environ["SEEN"], "a") as seen:
        seen.write(os.environ["PYTEST_XDIST_WORKER"] + "\n")
    time.sleep(0.5)
PY

workers() { # workers PYTEST_VERSION: in how many workers the four tests of one group ran
    python3 -m venv "v$1"
    "v$1/bin/pip" install -q --disable-pip-version-check "pytest==$1" pytest-xdist==3.8.0
    SEEN="$folder/$1.seen" "v$1/bin/python" -m pytest -q -p no:cacheprovider -n 2 --dist loadgroup test_group.py >"$1.log" 2>&1 ||
        { cat "$1.log"; exit 1; }
    sort -u "$1.seen" | wc -l
}

old=$(workers 9.1.1)
new=$(workers 9.2.0)
v9.2.0/bin/python --version
echo "pytest-xdist 3.8.0, -n 2 --dist loadgroup, four tests marked with one xdist_group"
echo "pytest 9.1.1: they ran in $old worker(s)"
echo "pytest 9.2.0: they ran in $new worker(s)"
[ "$old" -eq 1 ] && [ "$new" -eq 2 ]
