# SPDX-License-Identifier: AGPL-3.0-or-later
"""Checks what is shipped for operators against the rest of the repository: settings and metrics that it names must exist,
variables that compose files need must be explained, manifests must fit the schema of Kubernetes.

usage: check_deploy.py ROOT MANIFEST...   (rendered manifests)
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

root = Path(sys.argv[1])
problems = []
settings = set(re.findall(r"`(Z4J_[A-Z0-9_]+)`", (root / "docs/configuration.md").read_text()))
explained = set(re.findall(r"^#? ?([A-Z0-9_]+)=", (root / ".env.example").read_text(), re.M))
# What only compose reads.
compose_only = {"Z4J_IMAGE", "Z4J_BIND", "Z4J_PORT", "Z4J_DOMAIN", "Z4J_ACME_EMAIL"}
metrics = set()
for source in [*root.glob("services/**/*.go"), *root.glob("pkg/**/*.go")]:
    metrics |= set(re.findall(r'"(z4j_[a-z0-9_]+)"', source.read_text()))

for name in ("", ".postgres", ".services", ".caddy", ".monitoring"):
    top = yaml.safe_load((root / f"docker-compose{name}.yml").read_text())
    for path in (part["path"] for part in top["include"]):
        text = (root / path).read_text()
        compose = yaml.safe_load(text)
        for variable, demand in re.findall(r"\$\{([A-Z0-9_]+)(:\?[^}]*)?", text):
            if demand and variable not in explained:
                problems.append(f"{path}: {variable} is required and .env.example does not explain it")
        for service, spec in compose["services"].items():
            for variable in spec.get("environment") or {}:
                if variable.startswith("Z4J_") and variable not in settings | compose_only:
                    problems.append(f"{path}: {service} sets {variable}, which is no setting")
            if spec.get("image", "").startswith("${Z4J_IMAGE"):
                for need in ("read_only", "cap_drop", "security_opt", "stop_grace_period"):
                    if need not in spec:
                        problems.append(f"{path}: {service} lacks {need}")

for path in [root / ".env.example", root / "k8s/base/secret.example.env", *root.glob("k8s/**/*.yaml")]:
    for variable in set(re.findall(r"\b(Z4J_[A-Z0-9_]+)\b", path.read_text())):
        if variable not in settings | compose_only:
            problems.append(f"{path.relative_to(root)}: {variable} is no setting")

collector = yaml.safe_load((root / "deploy/otel/collector.yaml").read_text())
for kind in ("receivers", "processors", "exporters"):
    for part in collector["service"]["pipelines"]["traces"][kind]:
        # ${env:NAME:-default}: the default must be there, and what compose and k8s set in its place is otlphttp.
        default = re.sub(r"^\$\{env:[A-Z_]+:-(\w+)\}$", r"\1", part)
        if default not in collector[kind]:
            problems.append(f"deploy/otel/collector.yaml: {default} is not among the {kind}")

recorded = set(re.findall(r"record: (\S+)", (root / "deploy/prometheus/rules.yml").read_text()))
for path in [root / "deploy/prometheus/rules.yml", *root.glob("deploy/grafana/*.json")]:
    text = path.read_text()
    if path.suffix == ".json":
        board = json.loads(text)
        ids = [p["id"] for p in board["panels"]]
        if len(ids) != len(set(ids)) or not board["uid"]:
            problems.append(f"{path.name}: panel ids are not unique, or the board has none")
    for name in set(re.findall(r"\bz4j_[a-z0-9_]+", text)):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        if name not in metrics and base not in metrics and not name.endswith("_p99"):
            problems.append(f"{path.name}: no metric is called {name}")
    for name in set(re.findall(r"\bz4j:[a-z0-9_:]+", text)):
        if name not in recorded:
            problems.append(f"{path.name}: no rule records {name}")

# What a rendering must hold of each kind.
parts = {
    "base": {"Namespace": 1, "ServiceAccount": 1, "ConfigMap": 1, "Secret": 1, "Service": 1, "Deployment": 1, "PodDisruptionBudget": 1, "NetworkPolicy": 2, "Ingress": 1},
    "services": {"Job": 1, "Deployment": 4, "Service": 3, "PodDisruptionBudget": 4, "HorizontalPodAutoscaler": 1, "NetworkPolicy": 6, "Ingress": 1, "Secret": 1},
    "monitoring": {"ConfigMap": 4, "Deployment": 4, "Job": 1},
}
for manifest in sys.argv[2:]:
    kinds = [document["kind"] for document in yaml.safe_load_all(Path(manifest).read_text())]
    for kind, count in parts[Path(manifest).stem].items():
        if kinds.count(kind) < count:
            problems.append(f"{manifest}: {kinds.count(kind)} of at least {count} objects of kind {kind}")
    for document in yaml.safe_load_all(Path(manifest).read_text()):
        pod = document.get("spec", {}).get("template", {}).get("spec") if document["kind"] in ("Deployment", "Job") else None
        if not pod:
            continue
        what = f"{document['kind']} {document['metadata']['name']}"
        for container in pod["containers"]:
            security = container["securityContext"]
            if security["allowPrivilegeEscalation"] or not security["readOnlyRootFilesystem"] or security["capabilities"] != {"drop": ["ALL"]}:
                problems.append(f"{manifest}: {what} is not restricted")
            if not container["resources"]["limits"]["memory"]:
                problems.append(f"{manifest}: {what} has no memory limit")
            if document["kind"] == "Deployment":
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    if probe not in container:
                        problems.append(f"{manifest}: {what} has no {probe}")
        if not pod["securityContext"]["runAsNonRoot"]:
            problems.append(f"{manifest}: {what} runs as root")
    done = subprocess.run(["kubernetes-validate", "--strict", manifest], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        problems.append(f"{manifest}: {done.stdout}{done.stderr}")

for problem in problems:
    print("deploy:", problem)
sys.exit(bool(problems))
