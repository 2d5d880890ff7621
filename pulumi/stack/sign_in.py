"""Sign-in to the console: through the team's OpenID provider, or a user pool of this stack.

Both speak OpenID Connect. The console is a public client: it has no secret, and proves by PKCE that
it is the one that asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pulumi
import pulumi_aws as aws
from pulumi_aws import cognito

from stack.config import Config
from stack.scope import Scope

COMPONENT = "sign-in"
RESOURCE = "safelight"
"""The resource server of the user pool, with which its scopes begin."""
SCOPES = {
    "read": "Read assets of one's own",
    "write": "Upload, change and delete assets of one's own",
}
PREFIX = f"{RESOURCE}/"
"""Cognito puts a slash between a resource server and a scope."""
GROUPS = {
    "admin": "Everybody's assets",
    "review": "Reviews of everybody's assets",
}
"""Rights that not everybody has: groups, because all users of a client have the same scopes in
Cognito. There is none for ``review-own``: each account here is an owner by itself."""
CLAIMS = ("scope", "cognito:groups")
"""Claims of access tokens: both list the rights of the bearer."""
TOKEN_MINUTES = 60
SESSION_HOURS = 12
"""Time until users must enter their password again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """The provider that signs people in, as the API and the console need it."""

    issuer: pulumi.Input[str]
    audience: pulumi.Input[str]
    """The ``aud`` or ``client_id`` of tokens for the API."""
    settings: Mapping[str, Any]
    """For the console: the provider to request tokens from, and the parameters."""
    rights: Mapping[str, Any]
    """For the console: the claims that name the owner and the rights of the bearer."""
    environment: Mapping[str, str]
    """Settings of the API that follow from the provider."""
    origins: Sequence[str]
    """Origins that the page connects to: for the discovery document, and for tokens."""


def provider(scope: Scope, config: Config, *, console: pulumi.Input[str] | None = None) -> Provider:
    """The provider that the configuration names, or a user pool.

    Args:
        console: address of the console, where the provider sends people back to.
    """
    if config.console.enabled and config.console.user_pool:
        assert console is not None
        return UserPool(scope, config, console=console).provider
    chosen, settings = config.console, config.settings
    return Provider(
        issuer=config.api.issuer,
        audience=config.api.audience,
        settings={
            "issuer": config.api.issuer,
            "client_id": chosen.client_id,
            "scope": chosen.scope,
            **({"audience": chosen.audience} if chosen.audience else {}),
        },
        rights={
            "owner": settings.get("api_owner_claim", "sub"),
            "claims": settings.get("api_scope_claim", "scope").replace(",", " ").split(),
            "prefix": settings.get("api_scope_prefix", "safelight:"),
        },
        environment={},
        origins=origins(scope, config),
    )


class UserPool(pulumi.ComponentResource):
    """A user pool of this stack with the console as its only client, and a group of administrators.

    Args:
        console: address of the console, where people are sent back to.
    """

    def __init__(
        self,
        scope: Scope,
        config: Config,
        *,
        console: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:sign_in:UserPool", scope.name(COMPONENT), None, opts)
        self._own = pulumi.ResourceOptions(parent=self)
        name = scope.name(COMPONENT)
        pool = cognito.UserPool(
            name,
            # Accounts are made by an administrator; people sign in by their address.
            admin_create_user_config=cognito.UserPoolAdminCreateUserConfigArgs(
                allow_admin_create_user_only=True
            ),
            username_attributes=["email"],
            auto_verified_attributes=["email"],
            username_configuration=cognito.UserPoolUsernameConfigurationArgs(case_sensitive=False),
            password_policy=cognito.UserPoolPasswordPolicyArgs(minimum_length=12),
            mfa_configuration="OPTIONAL",
            software_token_mfa_configuration=cognito.UserPoolSoftwareTokenMfaConfigurationArgs(
                enabled=True
            ),
            # Assets belong to accounts: if the pool is deleted, no owner can reach their assets.
            deletion_protection="ACTIVE" if config.catalog.deletion_protection else "INACTIVE",
            tags=scope.tags(COMPONENT),
            opts=self._own,
        )
        cognito.UserPoolDomain(name, domain=_label(scope), user_pool_id=pool.id, opts=self._own)
        resources = cognito.ResourceServer(
            name,
            user_pool_id=pool.id,
            identifier=RESOURCE,
            name="Safelight",
            scopes=[
                cognito.ResourceServerScopeArgs(scope_name=scope, scope_description=text)
                for scope, text in SCOPES.items()
            ],
            opts=self._own,
        )
        for right, description in GROUPS.items():
            cognito.UserGroup(
                scope.name(f"{COMPONENT}-{right}"),
                user_pool_id=pool.id,
                name=PREFIX + right,
                description=description,
                opts=self._own,
            )
        scopes = ["openid", "email", *(PREFIX + scope for scope in SCOPES)]
        client = cognito.UserPoolClient(
            name,
            user_pool_id=pool.id,
            generate_secret=False,
            allowed_oauth_flows=["code"],
            allowed_oauth_flows_user_pool_client=True,
            allowed_oauth_scopes=scopes,
            supported_identity_providers=["COGNITO"],
            callback_urls=[console],
            logout_urls=[console],
            explicit_auth_flows=["ALLOW_USER_SRP_AUTH"],
            prevent_user_existence_errors="ENABLED",
            enable_token_revocation=True,
            access_token_validity=TOKEN_MINUTES,
            id_token_validity=TOKEN_MINUTES,
            refresh_token_validity=SESSION_HOURS,
            token_validity_units=cognito.UserPoolClientTokenValidityUnitsArgs(
                access_token="minutes",  # noqa: S106 - units
                id_token="minutes",  # noqa: S106
                refresh_token="hours",  # noqa: S106
            ),
            # Each renewal gives a new one; a stolen one ends with its owner's next renewal.
            refresh_token_rotation=cognito.UserPoolClientRefreshTokenRotationArgs(
                feature="ENABLED", retry_grace_period_seconds=30
            ),
            # It names the scopes.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[resources]),
        )
        of_provider = origins(scope, config)
        self.provider = Provider(
            issuer=pulumi.Output.concat(f"{of_provider[0]}/", pool.id),
            # Access tokens of Cognito name the client and no audience.
            audience=client.id,
            settings={
                "issuer": pulumi.Output.concat(f"{of_provider[0]}/", pool.id),
                "client_id": client.id,
                "scope": " ".join(scopes),
            },
            rights={"owner": "sub", "claims": list(CLAIMS), "prefix": PREFIX},
            environment={"API_SCOPE_CLAIM": ",".join(CLAIMS), "API_SCOPE_PREFIX": PREFIX},
            origins=of_provider,
        )
        self.register_outputs({})


def origins(scope: Scope, config: Config) -> Sequence[str]:
    """Origins of the provider that the page connects to: for its discovery document and tokens."""
    if config.console.user_pool:
        region = aws.get_region().region
        return (
            f"https://cognito-idp.{region}.amazonaws.com",
            f"https://{_label(scope)}.auth.{region}.amazoncognito.com",
        )
    issuer = urlsplit(config.api.issuer)
    return (f"{issuer.scheme}://{issuer.netloc}", *config.console.sign_in_origins)


def _label(scope: Scope) -> str:
    """A domain prefix. It is unique over all AWS accounts, so it contains this account's id."""
    return f"{scope.prefix}-{scope.account}"
