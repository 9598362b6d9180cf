# SPDX-License-Identifier: AGPL-3.0-or-later
"""Runs the program that was installed with this package: ``python -m z4j serve`` is ``z4j serve``."""

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

NAME = "z4j.exe" if os.name == "nt" else "z4j"


def find_program() -> Path:
    """Returns the program's path, or ends with what to do when it is not there.

    Where pip put it is in the installation's own record, whatever the scheme (venv, --user, --prefix). Installers that
    write no usable record leave it in the interpreter's folder of scripts.
    """
    candidates = []
    try:
        for file in importlib.metadata.files("z4j") or []:
            if file.name == NAME:
                candidates.append(Path(os.path.normpath(file.locate())))
    except importlib.metadata.PackageNotFoundError:
        pass
    candidates.append(Path(sysconfig.get_path("scripts"), NAME))
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    sys.exit(
        f"z4j: the program {NAME} is not where it was installed ({candidates[0]}). "
        "Reinstall it: python -m pip install --force-reinstall z4j"
    )


def main() -> None:
    command = [str(find_program()), *sys.argv[1:]]
    if os.name != "nt":
        # The program takes this process's place, so that signals and exit codes are its own.
        os.execv(command[0], command)
    try:
        sys.exit(subprocess.call(command))
    except KeyboardInterrupt:
        # Ctrl+C reached the program too; it has drained and ended by now.
        sys.exit(130)


if __name__ == "__main__":
    main()
