"""Stands for the container engine of a deployment: ``docker`` on the PATH of its scripts.

Building and pushing are tested with a real engine elsewhere (tests/container). What a deployment
needs of it is that an image is in the repository, by digest: a push puts a manifest into the
emulator's ECR.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3

KNOWN = Path(os.environ.get("ENGINE_TEST_IMAGES", "images.json"))
"""Where it writes down what was built, tagged and pushed."""


def main(arguments: list[str]) -> int:
    """Answer one call. An unexpected one fails."""
    known: dict[str, dict[str, str]] = json.loads(KNOWN.read_text()) if KNOWN.exists() else {}
    match [*(one for one in arguments if one != "buildx")]:
        case ["info" | "version"]:
            return 0
        case ["login", *_]:
            return 0 if sys.stdin.read().strip() else 1
        case ["build", *options]:
            commit = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
            for flag, value in itertools.pairwise(options):
                if flag == "--tag":
                    known[value] = {"revision": commit}
        case ["tag", old, new]:
            known[new] = dict(known[old])
        case ["push", image]:
            known[image]["digest"] = _push(image)
        case ["image", "inspect", image]:
            return 0 if image in known else 1
        case ["image", "inspect", "--format", form, image]:
            repository = image.rpartition(":")[0]
            digest = f"{repository}@{known[image].get('digest')}"
            print(digest if "RepoDigests" in form else known[image]["revision"])  # noqa: T201
        case _:
            print(f"no answer to docker {' '.join(arguments)}", file=sys.stderr)  # noqa: T201
            return 99
    KNOWN.write_text(json.dumps(known))
    return 0


def _push(image: str) -> str:
    address, _, tag = image.rpartition(":")
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"size": len(tag), "digest": f"sha256:{0:064x}", "tag": tag},
        "layers": [],
    }
    put = boto3.client("ecr").put_image(
        repositoryName=address.partition("/")[2],
        imageManifest=json.dumps(manifest),
        imageTag=tag,
    )
    return str(put["image"]["imageId"]["imageDigest"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
