"""The bill of materials of an image as CycloneDX 1.6 JSON: ``python3 sbom.py NAME``, to stdout.

What lives here: what dpkg and the Python metadata say is installed; no guesses. No dates and no
random serial number, so that two builds of the same thing say the same.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from typing import Any
from urllib.parse import quote

LIBRARIES = ["/opt/safelight/lib"]
APPLICATION = ["/opt/safelight/app"]
Component = dict[str, Any]


def main(name: str) -> None:
    """Print the bill of one image."""
    (own,) = importlib.metadata.distributions(path=APPLICATION)
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": name,
                "name": name,
                "version": own.version,
                "licenses": [{"expression": own.metadata.json["license_expression"]}],
            }
        },
        "components": sorted([*python(), *debian()], key=lambda one: str(one["bom-ref"])),
    }
    json.dump(bill, sys.stdout, indent=1, sort_keys=True)
    print()  # noqa: T201


def python() -> list[Component]:
    """Python packages."""
    return [
        component("pypi", one.metadata["Name"].lower(), one.version)
        | licences(one.metadata.json.get("license_expression"))
        for one in importlib.metadata.distributions(path=LIBRARIES)
    ]


def debian() -> list[Component]:
    """Debian packages, by their source's name and version too, which advisories go by."""
    asked = "${Package}\t${Version}\t${Architecture}\t${source:Package}\n"
    command = ["/usr/bin/dpkg-query", "--show", "--showformat", asked]
    text = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    found = []
    for line in text.stdout.splitlines():
        name, version, architecture, source = line.split("\t")
        one = component("deb/debian", name, version)
        one["purl"] += f"?arch={architecture}&distro=trixie"
        one["properties"] = [{"name": "debian:source", "value": source}]
        found.append(one)
    return found


def component(kind: str, name: str, version: str) -> Component:
    """One library, named as scanners look it up (package URL)."""
    purl = f"pkg:{kind}/{quote(name)}@{quote(version)}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def licences(expression: object) -> Component:
    """An SPDX expression, where the package says one."""
    return {"licenses": [{"expression": expression}]} if expression else {}


if __name__ == "__main__":
    main(sys.argv[1])
