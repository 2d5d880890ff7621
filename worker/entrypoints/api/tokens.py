"""Identifies the caller by the claims of a JSON Web Token (RFC 7519), wherever it was verified.

On AWS the authoriser of the HTTP API verifies signature, issuer, audience and time before the
function is called, and passes the claims. Elsewhere PyJWT verifies them, by a shared secret or by
the issuer's published keys. One of the three is required.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.domain.errors import ConfigurationError, InputError, NotSignedIn, Unreachable
from worker.domain.user_metadata import check_id
from worker.services.owned_assets import Caller
from worker.settings import Settings

if TYPE_CHECKING:
    from starlette.requests import Request

READ, WRITE, ADMIN = "read", "write", "admin"
"""Scopes, without the prefix of the settings. ``admin`` includes the others."""
REVIEW, REVIEW_OWN = "review", "review-own"
"""Scopes of reviewers: for the assets of all owners, or of the caller's own owner, for deployments
in which an owner is a team or a tenant."""
LEEWAY = 30
"""Tolerated difference of clocks, in seconds."""
KEYS_SECONDS = 300
"""Seconds after which the issuer's keys are fetched again."""
_HS256 = ("HS256",)
_PUBLIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHolder:
    """The caller and the scopes of the token."""

    caller: Caller
    scopes: frozenset[str]
    """Without their prefix."""

    def may(self, scope: str) -> bool:
        """Whether the token has a scope."""
        enough = {scope, ADMIN} | ({REVIEW_OWN} if scope == REVIEW else set())
        return not enough.isdisjoint(self.scopes)


class Tokens:
    """Identifies callers, by the settings."""

    def __init__(self, settings: Settings) -> None:
        """Verify by the secret or the keys of the settings, if any."""
        self._settings = settings
        self.asks = settings.api_secret is None and settings.api_jwks_url is not None
        """Whether verifying a token may fetch keys from the issuer."""
        self._check = self._checker()

    def identify(self, request: Request) -> TokenHolder:
        """The caller of a request.

        Raises:
            NotSignedIn: the token is missing, expired, or of another issuer.
        """
        gateway = _gateway_claims(request.scope)
        if gateway is not None and self._check is None:
            return self.identity(gateway)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise NotSignedIn("there is no bearer token", code="token_missing")
        if self._check is None:
            raise ConfigurationError(
                "nothing checks tokens: set SAFELIGHT_API_SECRET or SAFELIGHT_API_JWKS_URL, or"
                " put the authoriser of an HTTP API in front"
            )
        return self.identity(self._check(token.strip()))

    def identity(self, claims: Mapping[str, Any]) -> TokenHolder:
        """The caller that the claims of a verified token name.

        Raises:
            NotSignedIn: the claims name no subject.
        """
        settings = self._settings
        owner = claims.get(settings.api_owner_claim)
        try:
            if not isinstance(owner, str):
                raise InputError("no text")
            check_id(owner, "owner")
        except InputError:
            said = f"the token's claim {settings.api_owner_claim} names no owner"
            raise NotSignedIn(said) from None
        prefix = settings.api_scope_prefix
        scopes = frozenset(
            one.removeprefix(prefix)
            for name in settings.api_scope_claim.replace(",", " ").split()
            for one in _texts(claims.get(name))
            if one.startswith(prefix)
        )
        person = claims.get("sub")
        caller = Caller(
            owner=owner,
            admin=ADMIN in scopes,
            reviewer=person if isinstance(person, str) and person else owner,
            judges_all=REVIEW in scopes,
        )
        return TokenHolder(caller=caller, scopes=scopes)

    def _checker(self) -> Callable[[str], Mapping[str, Any]] | None:
        settings = self._settings
        if settings.api_secret is not None:
            secret = settings.api_secret
            return lambda token: self._decoded(token, secret, _HS256)
        if settings.api_jwks_url is None:
            return None
        from jwt import PyJWKClient

        keys = PyJWKClient(settings.api_jwks_url, lifespan=KEYS_SECONDS, timeout=5)
        return lambda token: self._decoded(token, lambda: keys.get_signing_key_from_jwt(token).key)

    def _decoded(
        self, token: str, key: str | Callable[[], Any], algorithms: tuple[str, ...] = _PUBLIC
    ) -> Mapping[str, Any]:
        import jwt  # not needed behind a gateway

        settings = self._settings
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key if isinstance(key, str) else key(),
                algorithms=list(algorithms),
                issuer=settings.api_issuer,
                audience=settings.api_audience,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", settings.api_owner_claim]},
            )
        except jwt.ExpiredSignatureError:
            raise NotSignedIn("the token has expired", code="token_expired") from None
        except jwt.PyJWKClientConnectionError as error:
            raise Unreachable(f"the issuer's keys: {error}") from error
        except (jwt.PyJWTError, ValueError) as error:
            raise NotSignedIn(f"the token is not valid here: {error}") from error
        return claims


def _gateway_claims(scope: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The claims that the authoriser of the HTTP API passes (API Gateway Developer Guide, "Working
    with AWS Lambda proxy integrations for HTTP APIs"); None of a request that came another way."""
    context = scope.get("aws.event", {}).get("requestContext", {})
    claims = context.get("authorizer", {}).get("jwt", {}).get("claims")
    return claims if isinstance(claims, Mapping) else None


def _texts(claim: object) -> list[str]:
    """The texts of a claim: words of a text, or a list, which the gateway writes as ``[a b]``."""
    if isinstance(claim, str):
        return claim.strip("[]").replace(",", " ").split()
    return [one for one in claim if isinstance(one, str)] if isinstance(claim, list) else []
