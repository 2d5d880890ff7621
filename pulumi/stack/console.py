"""The console: static files in a separate bucket; the distribution serves them at /console/.

The path of each file contains its version, so browsers cache it for a year. They request the page
itself and ``config.json`` each time.
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi_aws import s3

from stack import policies
from stack.api import Api
from stack.bucket import PrivateBucket
from stack.config import Config
from stack.dashboard import dashboard_address
from stack.delivery import Distribution, closed_origin, upload_origins
from stack.scope import Scope
from stack.sign_in import Provider
from stack.storage import Buckets
from worker import console

COMPONENT = "console"
PATH = "console/"
"""Below the distribution."""


class Console(pulumi.ComponentResource):
    """The console's files, and its configuration with the API's URL and the OpenID provider."""

    def __init__(self, scope: Scope, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("safelight:console:Console", scope.name(COMPONENT), None, opts)
        self._scope = scope
        self._own = pulumi.ResourceOptions(parent=self)
        # The console has its own bucket, so that rules that expire renditions cannot delete it.
        self.bucket = PrivateBucket(
            scope.name(COMPONENT),
            scope,
            rules=[],
            versioned=False,
            force_destroy=True,  # all of it is in the repository
            opts=self._own,
        )

    def publish(
        self,
        config: Config,
        *,
        buckets: Buckets,
        delivery: Distribution,
        api: Api,
        sign_in: Provider,
    ) -> None:
        """Write the files into the bucket. The configuration names the API, so it must exist."""
        self.bucket.restrict(
            [policies.may_read(self.bucket.objects, distribution=delivery.distribution.arn)]
        )
        settings: dict[str, Any] = {
            "api": api.url,
            "sign_in": sign_in.settings,
            "rights": sign_in.rights,
            "originals": True,
            # Only the local stack has these; on AWS the page says so and polls instead.
            "live": False,
            "operations": False,
        }
        if config.observability.enabled:
            settings["dashboard"] = dashboard_address(self._scope)
        named = (api.url, closed_origin(buckets), *upload_origins(config, buckets))
        policy = pulumi.Output.all(*named).apply(
            lambda known: console.in_page(
                console.policy(
                    api=known[0], closed=known[1:2], stores=known[2:], sign_in=sign_in.origins
                )
            )
        )
        page = policy.apply(console.versioned_page)
        for key, file in console.deployed().items():
            self._object(
                key,
                media_type=file.media_type,
                cache_control=file.cache_control,
                content=page if file.content is None else None,
                source=pulumi.FileAsset(file.content) if file.content is not None else None,
            )
        self._object(
            console.CONFIGURATION,
            media_type="application/json",
            cache_control=console.NEW_EACH_TIME,
            content=pulumi.Output.json_dumps(settings),
        )
        self.register_outputs({})

    def _object(
        self,
        key: str,
        *,
        media_type: str,
        cache_control: str,
        content: pulumi.Input[str] | None = None,
        source: pulumi.Asset | None = None,
    ) -> None:
        # The name lacks the version: Pulumi replaces a changed file, and makes the new one first.
        name = key.partition("/")[2] or key or "page"
        s3.BucketObject(
            self._scope.name(f"{COMPONENT}-{name}"),
            bucket=self.bucket.name,
            key=PATH + key,
            content=content,
            source=source,
            content_type=media_type,
            cache_control=cache_control,
            opts=self._own,
        )
