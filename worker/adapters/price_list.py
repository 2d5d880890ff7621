"""AWS's price list: public files, one for each offer and region, without credentials.

AWS Billing User Guide, "AWS Price List Bulk API": ``/offers/v1.0/aws/OFFER/current/`` has
``REGION/index.json`` and, for what has one price in the world, ``index.json``.
"""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from worker.domain.errors import InputError, Unreachable
from worker.services.price_update import parse_offer

ADDRESS = "https://pricing.us-east-1.amazonaws.com"
SECONDS = 60.0
"""Of the connection and of each read."""
LARGEST = 64 * 2**20
"""Bytes of a file. Those that are read here have at most 1 MB; that of EC2 has 480."""
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")


@dataclass(frozen=True, slots=True)
class PriceList:
    """Files of offers, each read once.

    Args:
        source: an address, or a folder with files ``OFFER.json`` that were fetched before.
        region: of the prices.
    """

    source: str
    region: str
    read: dict[tuple[str, bool], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what would be another path.

        Raises:
            InputError: ``input_region``: this is no name of a region.
        """
        if not _REGION.fullmatch(self.region):
            raise InputError(f"{self.region!r} is no name of a region", code="input_region")

    def offer(self, code: str, everywhere: bool) -> Any:  # noqa: FBT001 - of a callback's form
        """The file of an offer.

        Raises:
            InputError: it is missing, too large, or no price list.
            Unreachable: the list does not answer.
        """
        key = code, everywhere
        if key not in self.read:
            whole = self.source.startswith(("https://", "http://127.0.0.1:"))
            data = self._fetched(code, everywhere) if whole else self._file(code)
            self.read[key] = parse_offer(data)
        return self.read[key]

    def _file(self, code: str) -> bytes:
        path = Path(self.source) / f"{code}.json"
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such file", code="input_missing") from error
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}", code="input_unreadable") from error

    def _fetched(self, code: str, everywhere: bool) -> bytes:  # noqa: FBT001 - as offer()
        address = urlsplit(self.source)
        kind = (
            http.client.HTTPSConnection
            if address.scheme == "https"
            else (http.client.HTTPConnection)
        )
        place = "current" if everywhere else f"current/{self.region}"
        path = f"/offers/v1.0/aws/{code}/{place}/index.json"
        connection = kind(address.netloc, timeout=SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            data = answer.read(LARGEST + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"AWS's price list does not answer: {error!r}") from error
        finally:
            connection.close()
        if answer.status in (http.client.NOT_FOUND, http.client.FORBIDDEN):
            raise InputError(
                f"AWS's price list has no {code} of {self.region}", code="input_region"
            )
        if answer.status != http.client.OK:
            raise Unreachable(f"AWS's price list answers {answer.status} to {path}")
        if len(data) > LARGEST:
            raise InputError(f"{path} has more than {LARGEST:,} bytes")
        return data
