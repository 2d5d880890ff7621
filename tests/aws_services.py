"""The services of AWS that Safelight's clients call."""

from __future__ import annotations

from worker.adapters.aws.clients import AwsClients


class _Asked(AwsClients):
    def __init__(self) -> None:
        super().__init__({})
        self.names: set[str] = set()

    def _client(self, service: str, name: str = "", more: object = None) -> None:
        self.names.add(service)


def asked() -> set[str]:
    """Their names in botocore: each property of ``AwsClients`` makes a client of one."""
    clients = _Asked()
    for name, value in vars(AwsClients).items():
        if isinstance(value, property):
            getattr(clients, name)
    return clients.names
