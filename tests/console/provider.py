"""An OpenID provider on loopback: real keys and signatures, and what a real one refuses."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, RedirectResponse, Response
from jwt.algorithms import RSAAlgorithm

from tests.servers import serving_app

CLIENT = "console-of-the-tests"
AUDIENCE = "safelight-api"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Provider:
    """Signs one person in without asking, as a provider does that knows the browser.

    The fields are what tests change: what it does wrong, and how long its tokens live.
    """

    person: str = "ann"
    scope: str = "safelight:read safelight:write"
    seconds: int = 3600
    """That an access token is valid for."""
    renews: bool = True
    """Whether it gives refresh tokens."""
    refuses: str = ""
    """An error of the authorization endpoint."""
    forgets: bool = False
    """Whether a code has expired by the time that it is used, or a refresh token has."""
    broken: bool = False
    """Whether its token endpoint fails, as of a deployment that goes wrong."""
    issuer_said: str = ""
    """Another issuer than the address it is asked at."""
    wrong: Mapping[str, Any] = field(default_factory=dict)
    """Claims of ID tokens that are not what was asked for."""
    state_said: str = ""
    url: str = ""
    asked: list[Mapping[str, str]] = field(default_factory=list)
    """Queries of the authorization endpoint."""
    tokens: list[str] = field(default_factory=list)
    """Grants of the token endpoint, in order."""
    ended: list[Mapping[str, str]] = field(default_factory=list)
    """Queries of the end of the session."""
    revoked: list[str] = field(default_factory=list)
    _codes: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _refresh: dict[str, str] = field(default_factory=dict)

    @property
    def app(self) -> FastAPI:
        """Its endpoints."""
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "POST"])

        @app.get("/.well-known/openid-configuration")
        def metadata() -> Any:
            endpoints = {
                "authorization_endpoint": "/authorize",
                "token_endpoint": "/token",
                "jwks_uri": "/keys",
                "end_session_endpoint": "/logout",
                "revocation_endpoint": "/revoke",
            }
            return {
                "issuer": self.issuer_said or self.url,
                **{name: self.url + path for name, path in endpoints.items()},
                "response_types_supported": ["code"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }

        @app.get("/keys")
        def keys() -> Any:
            key = json.loads(RSAAlgorithm.to_jwk(KEY.public_key()))
            return {"keys": [{**key, "kid": "one", "use": "sig", "alg": "RS256"}]}

        @app.get("/authorize")
        def authorize(request: Request) -> Response:
            query = dict(request.query_params)
            self.asked.append(query)
            state = self.state_said or query["state"]
            if self.refuses:
                return _back(query, error=self.refuses, state=state)
            code = secrets.token_urlsafe()
            self._codes[code] = query
            return _back(query, code=code, state=state)

        @app.post("/token")
        async def token(request: Request) -> Response:
            sent = await _form(request)
            self.tokens.append(sent["grant_type"])
            if self.broken:
                return Response("down", 503)
            nonce = ""
            if sent["grant_type"] == "authorization_code":
                query = self._codes.pop(sent["code"], {})
                nonce = query.get("nonce", "")
                proof = hashlib.sha256(sent["code_verifier"].encode()).digest()
                challenge = base64.urlsafe_b64encode(proof).decode().rstrip("=")
                right = query and (
                    query["code_challenge"] == challenge
                    and query["redirect_uri"] == sent["redirect_uri"]
                    and query["client_id"] == sent["client_id"] == CLIENT
                )
            else:  # each is good for one renewal
                right = self._refresh.pop(sent["refresh_token"], "") == sent["client_id"]
            if self.forgets or not right:
                return JSONResponse({"error": "invalid_grant"}, 400)
            return JSONResponse(self._tokens(nonce))

        @app.post("/revoke")
        async def revoke(request: Request) -> Response:
            self.revoked.append((await _form(request))["token"])
            return Response()

        @app.get("/logout")
        def logout(request: Request) -> Response:
            query = dict(request.query_params)
            self.ended.append(query)
            return RedirectResponse(query["post_logout_redirect_uri"])

        return app

    def _tokens(self, nonce: str) -> Mapping[str, Any]:
        now = int(time.time())
        common = {"iss": self.url, "sub": self.person, "iat": now, "exp": now + self.seconds}
        person = {"aud": CLIENT, "email": f"{self.person}@example.com"}
        asked = {"nonce": nonce} if nonce else {}
        found = {
            "token_type": "Bearer",
            "expires_in": self.seconds,
            "access_token": _signed({**common, "aud": AUDIENCE, "scope": self.scope}),
            "id_token": _signed({**common, **person, **asked, **self.wrong}),
        }
        if self.renews:
            refresh = secrets.token_urlsafe()
            self._refresh[refresh] = CLIENT
            found["refresh_token"] = refresh
        return found


async def _form(request: Request) -> Mapping[str, str]:
    return dict(parse_qsl((await request.body()).decode()))


def _signed(claims: Mapping[str, Any]) -> str:
    return jwt.encode(dict(claims), KEY, algorithm="RS256", headers={"kid": "one"})


def _back(query: Mapping[str, str], **answer: str) -> Response:
    return RedirectResponse(f"{query['redirect_uri']}?{urlencode(answer)}", 302)


@contextmanager
def provided(provider: Provider) -> Iterator[None]:
    """Serve it."""
    with serving_app(provider.app) as url:
        provider.url = url
        yield
