# SPDX-License-Identifier: AGPL-3.0-or-later
"""Checks an installed wheel: that every file of the distribution z4j is the one that the given wheel carries, and that the program runs
from an empty home until it serves the dashboard. The published package has the same name, so nothing is believed by name alone.

usage: check_wheel.py PYTHON WHEEL VERSION   (PYTHON is the interpreter that the wheel was installed for)
"""

import base64
import csv
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

python, wheel, version = sys.argv[1], sys.argv[2], sys.argv[3]
START_SECONDS = 60


def run(*command: str, **more) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False, **more)
    if done.returncode != 0:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def check_files() -> Path:
    """Compares what is installed with the wheel's own bytes and returns the program's path."""
    installed = json.loads(run(python, "-I", "-c", (
        "import importlib.metadata as m, json; d = m.distribution('z4j');"
        "print(json.dumps([d.version, {str(f): str(f.locate().resolve()) for f in d.files}]))")))
    if installed[0] != version:
        sys.exit(f"z4j {installed[0]} is installed, want {version}")
    by_name = {}
    for name, path in installed[1].items():
        by_name.setdefault(Path(name).name, []).append(path)
    program = None
    with zipfile.ZipFile(wheel) as archive:
        record = next(n for n in archive.namelist() if n.endswith(".dist-info/RECORD"))
        for name, digest, _ in csv.reader(archive.read(record).decode().splitlines()):
            if name == record:
                continue
            is_program = "/scripts/" in name
            want = hashlib.sha256(archive.read(name)).digest()
            if digest != "sha256=" + base64.urlsafe_b64encode(want).rstrip(b"=").decode():
                sys.exit(f"{name}: RECORD does not fit the wheel")
            # pip puts programs elsewhere; everything else keeps its name.
            paths = by_name.get(Path(name).name, []) if is_program else [installed[1].get(name)]
            paths = [p for p in paths if p and (not is_program or Path(p).parent == Path(python).parent.resolve())]
            if len(paths) != 1 or hashlib.sha256(Path(paths[0]).read_bytes()).digest() != want:
                sys.exit(f"{name}: installed as {paths}, which is not what the wheel carries")
            if is_program:
                program = Path(paths[0])
    if program is None or not os.access(program, os.X_OK):
        sys.exit(f"the program is missing or not executable: {program}")
    return program


def get(url: str) -> tuple[int, str, bytes]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, answer.headers.get_content_type(), answer.read()


def check_serve(command: list[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as home:
        log = Path(home, "log")
        with log.open("wb") as out:
            server = subprocess.Popen([*command, "serve", "--host", "127.0.0.1", "--port", str(port)],
                                      env={"HOME": home, "PATH": os.environ["PATH"]}, stdout=out, stderr=out)
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                if server.poll() is not None:
                    sys.exit(f"z4j serve ended with {server.returncode}:\n{log.read_text()}")
                try:
                    health = get(base + "/api/v1/health/ready")
                    break
                except (urllib.error.URLError, ConnectionError, TimeoutError) as problem:
                    if time.monotonic() > deadline:
                        sys.exit(f"z4j serve is not healthy after {START_SECONDS} s ({problem}):\n{log.read_text()}")
                    time.sleep(0.1)
            status, kind, page = get(base + "/")
            if status != 200 or kind != "text/html":
                sys.exit(f"GET / answered {status} {kind}: the dashboard is not in the program")
            asset = re.search(rb'src="(/assets/[^"]+\.js)"', page)
            if not asset:
                sys.exit("the dashboard's page names no script")
            status, kind, script = get(base + asset.group(1).decode())
            if status != 200 or kind != "text/javascript" or not script:
                sys.exit(f"the dashboard's script answered {status} {kind}, {len(script)} bytes")
            if not Path(home, ".z4j", "z4j.db").exists() or "/setup#token=" not in log.read_text():
                sys.exit(f"the first start made no database or setup link:\n{log.read_text()}")
            print(f"wheel: {command} serves; readiness says {health[2].decode().strip()[:200]}")
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                code = server.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
                code = "no end"
        if code != 0:
            sys.exit(f"z4j serve ended with {code} on SIGTERM:\n{log.read_text()}")


installed_program = check_files()
if os.environ.get("CHECK_FILES_ONLY"):
    sys.exit(0)
for start in ([str(installed_program)], [python, "-m", "z4j"]):
    answer = run(*start, "version")
    if answer != version:
        sys.exit(f"{start} version says {answer!r}, want {version!r}")
    check_serve(start)
