"""What tests do with a container engine: run confined, run to the end, look inside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

LAMBDA = "safelight:latest"
BATCH = "safelight-batch:latest"
STRANGER = "4321:4321"
"""A user and a group that no image knows."""
PROBE_SECONDS = 120

HARDENED: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "pids_limit": 256,
    "mem_limit": "1g",
    "memswap_limit": "1g",
    "network_mode": "none",
    "user": STRANGER,
}
"""As confined as it gets: not even /tmp can be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A container that has ended."""

    code: int
    output: str
    errors: str


class Engine:
    """A client of the engine that removes what it started."""

    def __init__(self, client: docker.DockerClient) -> None:
        """Nothing is started yet."""
        self.client = client
        self._started: list[Container] = []

    def create(self, image: str, *command: str, **options: Any) -> Container:
        """Make a container, as confined as ``HARDENED`` unless an option says otherwise."""
        container = self.client.containers.create(
            image, list(command) or None, **{**HARDENED, **options}
        )
        self._started.append(container)
        return container

    def start(self, image: str, *command: str, **options: Any) -> Container:
        """Make a container and start it."""
        container = self.create(image, *command, **options)
        container.start()
        return container

    def run(self, image: str, *command: str, **options: Any) -> Ended:
        """Run a container to its end."""
        container = self.start(image, *command, **options)
        code = int(container.wait(timeout=PROBE_SECONDS)["StatusCode"])
        output = container.logs(stdout=True, stderr=False).decode()
        errors = container.logs(stdout=False, stderr=True).decode()
        self.remove(container)
        return Ended(code=code, output=output, errors=errors)

    def python(self, image: str, program: str, **options: Any) -> Ended:
        """Run a program in the image's Python."""
        return self.run(image, "-c", program, entrypoint=["python3"], **options)

    def remove(self, container: Container) -> None:
        """Remove a container, whatever it does, and its volumes without a name."""
        container.remove(force=True, v=True)
        self._started.remove(container)

    def remove_all(self) -> None:
        """Remove what is left."""
        for container in list(self._started):
            self.remove(container)


def mount(folder: Path, at: str = "/data", mode: str = "rw") -> dict[str, dict[str, str]]:
    """A folder of the host in a container."""
    return {str(folder): {"bind": at, "mode": mode}}
