"""Signing in to ElastiCache by IAM: a role in place of a password.

Each new connection gets a token, a presigned request that lives for 15 minutes (Amazon ElastiCache
User Guide, "Authenticating with IAM"). No secret is stored anywhere.
"""

from __future__ import annotations

from typing import Any

from redis import CredentialProvider

TOKEN_SECONDS = 900
"""The longest that ElastiCache takes."""


class CacheCredentials(CredentialProvider):
    """User and token for connections to a serverless cache.

    Args:
        cache: its name.
        user: a user of its group whose authentication mode is IAM.
        session: of botocore; it has credentials and region. None: those of the process.
    """

    def __init__(self, *, cache: str, user: str, session: Any = None) -> None:
        from botocore.session import get_session

        self._cache, self._user = cache, user
        self._session: Any = session or get_session()

    def get_credentials(self) -> tuple[str, str]:
        """The user, and a new token."""
        from botocore.auth import SigV4QueryAuth
        from botocore.awsrequest import AWSRequest

        asked = {"Action": "connect", "User": self._user, "ResourceType": "ServerlessCache"}
        request = AWSRequest("GET", f"https://{self._cache}/", params=asked)
        signer = SigV4QueryAuth(
            self._session.get_credentials().get_frozen_credentials(),
            "elasticache",
            self._session.get_config_variable("region"),
            expires=TOKEN_SECONDS,
        )
        signer.add_auth(request)
        return self._user, str(request.url).removeprefix("https://")
