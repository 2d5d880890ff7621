"""The distribution: it serves renditions from the edge of AWS's network nearest to the viewer.

browsers, apps -> function (which file?) -> distribution (cache, headers) -> [delivery bucket]
                                                                       |-> function, if it has none
                                                                       `-> [console bucket]

The bucket stays private: the distribution signs its requests (origin access control), and the
bucket's policy allows only this distribution. Each cached file carries its asset's tag, so that one
invalidation reaches every file of an asset. Code at the edge is CloudFront Functions and never
Lambda@Edge, which flat-rate plans exclude.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pulumi
import pulumi_aws as aws
from pulumi_aws import cloudfront, cloudwatch, wafv2

from stack import policies, sign_in
from stack.bucket import PrivateBucket, expire
from stack.config import Config
from stack.origin import DeliveryOrigin
from stack.policies import Statement
from stack.scope import Scope
from stack.storage import Buckets
from worker import console, recipes
from worker.domain.delivery import (
    NEGOTIATED,
    NEGOTIATION_HEADERS,
    READABLE_HEADERS,
    RENDITION_POLICY,
    edge_source,
)
from worker.domain.errors import SafelightError
from worker.domain.image import Format
from worker.domain.keys import TAG_HEADER, TRACE_HEADER
from worker.domain.user_metadata import ATTRIBUTES, OWNER, RECIPE, TAGS

COMPONENT = "delivery"
GLOBAL_REGION = "us-east-1"
"""CloudFront's region for certificates, log deliveries and web ACLs, whatever the region of the
stack."""
DAY, YEAR = 86_400, 31_536_000
RATE_WINDOW = 300
"""Seconds over which requests of one address are counted."""
READS = ("GET", "HEAD")
ASKS = (*READS, "OPTIONS")
NEGOTIATE = Path(__file__).parents[1] / "functions" / "negotiate.js"
RUNTIME = "cloudfront-js-2.0"
"""The runtime of edge functions."""
TLS = "TLSv1.2_2021"
NOT_CACHED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
"""AWS's own policy, CachingDisabled (CloudFront Developer Guide, "Use managed cache policies")."""
UPLOAD_TICKET = Path(__file__).parents[1] / "functions" / "upload_ticket.js"
UPLOAD_HEADERS = (
    "content-type",
    "x-amz-checksum-sha256",
    *(f"x-amz-meta-{name}" for name in (OWNER, TAGS, ATTRIBUTES, RECIPE)),
    *("origin", "access-control-request-method", "access-control-request-headers"),
)
"""At most ten. CloudFront always forwards Content-Length and If-None-Match."""

Origin = cloudfront.DistributionOriginArgs
Behaviour = cloudfront.DistributionOrderedCacheBehaviorArgs


class Distribution(pulumi.ComponentResource):
    """The distribution in front of the delivery bucket, its cache and its headers.

    Args:
        console_bucket: of the console; None without one.
    """

    def __init__(
        self,
        scope: Scope,
        config: Config,
        *,
        buckets: Buckets,
        origin: DeliveryOrigin,
        console_bucket: PrivateBucket | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:delivery:Distribution", scope.name(COMPONENT), None, opts)
        self._scope, self._config = scope, config.delivery
        self._own = pulumi.ResourceOptions(parent=self)
        self._tags = scope.tags(COMPONENT)
        name, chosen = scope.name(COMPONENT), config.delivery
        self._signer = cloudfront.OriginAccessControl(
            name,
            description="Signs requests to the buckets",
            origin_access_control_origin_type="s3",
            # A client's own signature would be for another host.
            signing_behavior="always",
            signing_protocol="sigv4",
            opts=self._own,
        )
        function_signer = cloudfront.OriginAccessControl(
            scope.name("deliver"),
            description="Signs requests to the function of missing files",
            origin_access_control_origin_type="lambda",
            signing_behavior="always",
            signing_protocol="sigv4",
            opts=self._own,
        )
        self._cache_by_path = self._cached_by_path()
        self._negotiation = cloudfront.Function(
            name,
            comment="Chooses the file that a client gets",
            runtime=RUNTIME,
            code=negotiation(
                [config.recipe, *config.settings.get("recipes", "").replace(",", " ").split()]
            ),
            publish=True,
            tags=self._tags,
            opts=self._own,
        )
        self.distribution = cloudfront.Distribution(
            name,
            comment=f"Renditions of {scope.prefix}",
            enabled=True,
            http_version="http2and3",
            is_ipv6_enabled=True,
            price_class=chosen.price_class,
            aliases=list(chosen.domains),
            viewer_certificate=self._certificate(),
            restrictions=cloudfront.DistributionRestrictionsArgs(
                geo_restriction=cloudfront.DistributionRestrictionsGeoRestrictionArgs(
                    restriction_type="none"
                )
            ),
            cache_tag_config=cloudfront.DistributionCacheTagConfigArgs(header_name=TAG_HEADER),
            origins=[
                *(
                    self._origin(what, bucket)
                    for what, bucket in {
                        "renditions": buckets.delivery,
                        "console": console_bucket,
                        "uploads": buckets.intake if chosen.upload_key else None,
                    }.items()
                    if bucket is not None
                ),
                Origin(
                    origin_id="missing",
                    domain_name=origin.host,
                    origin_access_control_id=function_signer.id,
                    custom_origin_config=cloudfront.DistributionOriginCustomOriginConfigArgs(
                        http_port=80,
                        https_port=443,
                        origin_protocol_policy="https-only",
                        origin_ssl_protocols=["TLSv1.2"],
                    ),
                ),
            ],
            origin_groups=[_failover("stored", "renditions", "missing")],
            default_cache_behavior=cloudfront.DistributionDefaultCacheBehaviorArgs(
                target_origin_id="stored",
                allowed_methods=list(ASKS),
                cached_methods=list(READS),
                viewer_protocol_policy="redirect-to-https",
                compress=True,  # playlists, subtitles and manifests, but no pictures
                cache_policy_id=self._cache_by_path.id,
                response_headers_policy_id=self._rendition_headers().id,
                function_associations=[
                    cloudfront.DistributionDefaultCacheBehaviorFunctionAssociationArgs(
                        event_type="viewer-request", function_arn=self._negotiation.arn
                    )
                ],
            ),
            ordered_cache_behaviors=self._behaviours(config, buckets),
            tags=self._tags,
            web_acl_id=self._rate_limit() if chosen.rate_limit else None,
            # CloudFront blocks taking away the web ACL that a plan has brought.
            opts=pulumi.ResourceOptions(
                parent=self,
                ignore_changes=["web_acl_id"]
                if chosen.flat_rate_plan and not chosen.rate_limit
                else None,
            ),
        )
        origin.let_in(self.distribution.arn)
        self.host: pulumi.Input[str] = (
            chosen.domains[0] if chosen.domains else self.distribution.domain_name
        )
        self.url = pulumi.Output.concat("https://", self.host)
        self.console = pulumi.Output.concat(self.url, "/console/")
        """The console's URL; None without a console."""
        self.rights: Mapping[str, Sequence[Statement]] = {
            "delivery": [
                policies.may_read(buckets.delivery.objects, distribution=self.distribution.arn),
                policies.closed(buckets.delivery.objects, distribution=self.distribution.arn),
            ],
            **(
                {
                    "intake": policies.may_upload(
                        buckets.intake.objects, distribution=self.distribution.arn
                    )
                }
                if chosen.upload_key
                else {}
            ),
        }
        """Policy statements for the distribution, by bucket: see ``Buckets.restrict``."""
        self.logs = self._log(config) if chosen.logs else None
        """The bucket of logs; None without logs."""
        self.register_outputs({"url": self.url})

    def _origin(self, what: str, bucket: PrivateBucket) -> Origin:
        """A bucket as an origin; the distribution signs the requests to it."""
        return Origin(
            origin_id=what,
            domain_name=bucket.bucket.bucket_regional_domain_name,
            origin_access_control_id=self._signer.id,
        )

    def _behaviours(self, config: Config, buckets: Buckets) -> list[Behaviour]:
        """Behaviours for paths of other files than renditions; the first match applies."""
        found = []
        if config.console.enabled:
            found.append(
                Behaviour(
                    path_pattern="/console/*",
                    target_origin_id="console",
                    allowed_methods=list(READS),
                    cached_methods=list(READS),
                    viewer_protocol_policy="redirect-to-https",
                    compress=True,
                    cache_policy_id=self._cache_by_path.id,
                    response_headers_policy_id=self._console_headers(config, buckets).id,
                )
            )
        if config.delivery.upload_key:
            found.append(self._uploads())
        return found

    def _console_headers(
        self, config: Config, buckets: Buckets
    ) -> cloudfront.ResponseHeadersPolicy:
        """The console's headers, which the local stack sends too. The API is made after the
        distribution. So this policy allows every API of the region, and the page's own names one.
        """
        region = aws.get_region().region
        policy = pulumi.Output.all(closed_origin(buckets), *upload_origins(config, buckets)).apply(
            lambda known: console.written(
                console.policy(
                    api=f"https://*.execute-api.{region}.amazonaws.com",
                    closed=known[:1],
                    stores=known[1:],
                    sign_in=sign_in.origins(self._scope, config),
                )
            )
        )
        own = ("X-Content-Type-Options", "Referrer-Policy")  # CloudFront has fields for these
        return cloudfront.ResponseHeadersPolicy(
            self._scope.name("console"),
            comment="The console: scripts of its own, and nothing of anybody else's",
            custom_headers_config=cloudfront.ResponseHeadersPolicyCustomHeadersConfigArgs(
                items=[
                    header(name, value)
                    for name, value in console.OTHER_HEADERS.items()
                    if name not in own
                ]
            ),
            security_headers_config=security_headers(policy),
            opts=self._own,
        )

    def _uploads(self) -> Behaviour:
        """Uploads of originals: the function checks them, and the bucket stores them. No response
        is cached. Only headers that S3 keeps or browsers need are forwarded."""
        name = self._scope.name(f"{COMPONENT}-uploads")
        code = UPLOAD_TICKET.read_text().replace("${KEY}", self._config.upload_key)
        check = cloudfront.Function(
            name,
            comment="Lets uploads through that the API has signed",
            runtime=RUNTIME,
            publish=True,
            code=pulumi.Output.secret(code),
            tags=self._tags,
            opts=self._own,
        )
        forwarded = cloudfront.OriginRequestPolicy(
            name,
            comment="What a ticket signs, and what browsers ask before",
            cookies_config=cloudfront.OriginRequestPolicyCookiesConfigArgs(cookie_behavior="none"),
            headers_config=cloudfront.OriginRequestPolicyHeadersConfigArgs(
                header_behavior="whitelist",
                headers=cloudfront.OriginRequestPolicyHeadersConfigHeadersArgs(
                    items=list(UPLOAD_HEADERS)
                ),
            ),
            query_strings_config=cloudfront.OriginRequestPolicyQueryStringsConfigArgs(
                query_string_behavior="whitelist",
                query_strings=cloudfront.OriginRequestPolicyQueryStringsConfigQueryStringsArgs(
                    items=["partNumber", "uploadId"]
                ),
            ),
            opts=self._own,
        )
        return Behaviour(
            path_pattern="/??/uploads/*",
            target_origin_id="uploads",
            # CloudFront takes these seven together or no PUT.
            allowed_methods=[*ASKS, "PUT", "POST", "PATCH", "DELETE"],
            cached_methods=list(READS),
            viewer_protocol_policy="https-only",
            compress=False,
            cache_policy_id=NOT_CACHED,
            origin_request_policy_id=forwarded.id,
            function_associations=[
                cloudfront.DistributionOrderedCacheBehaviorFunctionAssociationArgs(
                    event_type="viewer-request", function_arn=check.arn
                )
            ],
        )

    def _certificate(self) -> cloudfront.DistributionViewerCertificateArgs:
        if not self._config.domains:
            return cloudfront.DistributionViewerCertificateArgs(cloudfront_default_certificate=True)
        return cloudfront.DistributionViewerCertificateArgs(
            acm_certificate_arn=self._config.certificate,
            ssl_support_method="sni-only",
            minimum_protocol_version=TLS,
        )

    def _rate_limit(self) -> pulumi.Output[str]:
        """A web ACL that answers 429 to addresses with too many requests; its ARN. Refused requests
        run no edge function and reach no origin."""
        name = self._scope.name(COMPONENT)

        return wafv2.WebAcl(
            name,
            region=GLOBAL_REGION,
            scope="CLOUDFRONT",
            description="Limits the requests of one address",
            default_action={"allow": {}},
            visibility_config={
                "cloudwatch_metrics_enabled": True,
                "metric_name": name,
                "sampled_requests_enabled": True,
            },
            rules=[
                {
                    "name": "rate",
                    "priority": 0,
                    "statement": {
                        "rate_based_statement": {
                            "aggregate_key_type": "IP",
                            "limit": self._config.rate_limit,
                            "evaluation_window_sec": RATE_WINDOW,
                        }
                    },
                    "action": {"block": {"custom_response": {"response_code": 429}}},
                    "visibility_config": {
                        "cloudwatch_metrics_enabled": True,
                        "metric_name": f"{name}-rate",
                        "sampled_requests_enabled": True,
                    },
                }
            ],
            tags=self._tags,
            opts=self._own,
        ).arn

    def _cached_by_path(self) -> cloudfront.CachePolicy:
        """Cache as long as the object's headers say, up to a year. The key has no query string,
        header or cookie: thousands of different ones would be thousands of bucket requests."""
        none = "none"
        return cloudfront.CachePolicy(
            self._scope.name(COMPONENT),
            comment="By path alone",
            min_ttl=0,
            default_ttl=DAY,
            max_ttl=YEAR,
            parameters_in_cache_key_and_forwarded_to_origin=cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginArgs(
                enable_accept_encoding_brotli=True,
                enable_accept_encoding_gzip=True,
                cookies_config=cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginCookiesConfigArgs(
                    cookie_behavior=none
                ),
                headers_config=cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginHeadersConfigArgs(
                    header_behavior=none
                ),
                query_strings_config=cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginQueryStringsConfigArgs(
                    query_string_behavior=none
                ),
            ),
            opts=self._own,
        )

    def _rendition_headers(self) -> cloudfront.ResponseHeadersPolicy:
        origins = self._config.origins
        # With several origins the response also depends on the page's origin: see the CORS headers.
        vary = {} if tuple(origins) in ((), ("*",)) else {"Vary": "Origin"}
        return cloudfront.ResponseHeadersPolicy(
            self._scope.name(COMPONENT),
            comment="Renditions: files, and never pages",
            cors_config=_readable_by(origins) if origins else None,
            custom_headers_config=cloudfront.ResponseHeadersPolicyCustomHeadersConfigArgs(
                items=[
                    # Pages that are isolated from others (COEP) may show them too.
                    header("Cross-Origin-Resource-Policy", "cross-origin"),
                    *(
                        header(one, ", ".join(filter(None, (value, vary.get(one)))))
                        for one, value in NEGOTIATION_HEADERS.items()
                    ),
                ]
            ),
            # Of use to the origin only: a viewer need not know how an upload went.
            remove_headers_config=cloudfront.ResponseHeadersPolicyRemoveHeadersConfigArgs(
                items=[
                    cloudfront.ResponseHeadersPolicyRemoveHeadersConfigItemArgs(header=TRACE_HEADER)
                ]
            ),
            security_headers_config=security_headers(RENDITION_POLICY),
            opts=self._own,
        )

    def _log(self, config: Config) -> PrivateBucket:
        """Every request that is answered, in a bucket of its own (standard logging, version 2: the
        older one needs a bucket with access lists)."""
        what = f"{COMPONENT}-logs"
        name = self._scope.name(what)
        bucket = PrivateBucket(
            name,
            self._scope,
            rules=[expire(self._config.log_days)],
            versioned=False,
            force_destroy=config.storage.force_destroy,
            opts=self._own,
        )
        restricted = bucket.restrict([policies.may_deliver_logs(bucket.arn, self._scope.account)])
        source = cloudwatch.LogDeliverySource(
            name,
            region=GLOBAL_REGION,
            log_type="ACCESS_LOGS",
            resource_arn=self.distribution.arn,
            tags=self._tags,
            opts=self._own,
        )
        destination = cloudwatch.LogDeliveryDestination(
            name,
            region=GLOBAL_REGION,
            output_format="json",
            delivery_destination_configuration=cloudwatch.LogDeliveryDestinationDeliveryDestinationConfigurationArgs(
                destination_resource_arn=bucket.arn
            ),
            tags=self._tags,
            opts=self._own,
        )
        cloudwatch.LogDelivery(
            name,
            region=GLOBAL_REGION,
            delivery_source_name=source.name,
            delivery_destination_arn=destination.arn,
            tags=self._tags,
            # It tries whether it may write.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[restricted]),
        )
        return bucket


def upload_origins(config: Config, buckets: Buckets) -> list[pulumi.Output[str]]:
    """Origins of upload tickets: the intake bucket, also accelerated."""
    hosts = [buckets.intake.bucket.bucket_regional_domain_name]
    if config.storage.acceleration:
        hosts.append(pulumi.Output.concat(buckets.intake.name, ".s3-accelerate.amazonaws.com"))
    return [pulumi.Output.concat("https://", host) for host in hosts]


def closed_origin(buckets: Buckets) -> pulumi.Output[str]:
    """Origin of the signed addresses with which reviewers see closed files: the bucket itself,
    because the distribution may not read them."""
    host = buckets.delivery.bucket.bucket_regional_domain_name
    return pulumi.Output.concat("https://", host)


def _failover(what: str, first: str, second: str) -> cloudfront.DistributionOriginGroupArgs:
    """Origin failover: the second origin gets requests for files that the first does not have.

    S3 returns 403 for a missing object if the caller may not list. The edge function does not run
    again, so the second origin gets the key that it has chosen.
    """
    return cloudfront.DistributionOriginGroupArgs(
        origin_id=what,
        failover_criteria=cloudfront.DistributionOriginGroupFailoverCriteriaArgs(
            status_codes=[403, 404]
        ),
        members=[
            cloudfront.DistributionOriginGroupMemberArgs(origin_id=one) for one in (first, second)
        ],
    )


def negotiation(recipe_names: Sequence[str]) -> str:
    """The source of the function, with the formats that the recipes make.

    Args:
        recipe_names: as functions are told. For one that is only in the image, which is not known
            here, every format is offered.
    """
    formats: set[Format] = set()
    for name in recipe_names:
        try:
            formats |= recipes.load(name).formats_made
        except SafelightError:
            formats |= set(NEGOTIATED)
    return edge_source(NEGOTIATE.read_text("utf-8"), formats)


def header(name: str, value: str) -> cloudfront.ResponseHeadersPolicyCustomHeadersConfigItemArgs:
    """A header of every response, which replaces the bucket's."""
    return cloudfront.ResponseHeadersPolicyCustomHeadersConfigItemArgs(
        header=name, value=value, override=True
    )


def security_headers(
    content: pulumi.Input[str],
) -> cloudfront.ResponseHeadersPolicySecurityHeadersConfigArgs:
    """HSTS, no MIME sniffing, no referrer, and a Content-Security-Policy."""
    return cloudfront.ResponseHeadersPolicySecurityHeadersConfigArgs(
        content_security_policy=cloudfront.ResponseHeadersPolicySecurityHeadersConfigContentSecurityPolicyArgs(
            content_security_policy=content, override=True
        ),
        content_type_options=cloudfront.ResponseHeadersPolicySecurityHeadersConfigContentTypeOptionsArgs(
            override=True
        ),
        referrer_policy=cloudfront.ResponseHeadersPolicySecurityHeadersConfigReferrerPolicyArgs(
            referrer_policy="no-referrer", override=True
        ),
        strict_transport_security=cloudfront.ResponseHeadersPolicySecurityHeadersConfigStrictTransportSecurityArgs(
            access_control_max_age_sec=YEAR, override=True
        ),
    )


def _readable_by(origins: Sequence[str]) -> cloudfront.ResponseHeadersPolicyCorsConfigArgs:
    """Scripts of these origins may read files (players, canvases); every page may show them."""
    return cloudfront.ResponseHeadersPolicyCorsConfigArgs(
        access_control_allow_credentials=False,
        access_control_allow_headers=cloudfront.ResponseHeadersPolicyCorsConfigAccessControlAllowHeadersArgs(
            items=["range"]  # players ask for parts of a file
        ),
        access_control_allow_methods=cloudfront.ResponseHeadersPolicyCorsConfigAccessControlAllowMethodsArgs(
            items=list(ASKS)
        ),
        access_control_allow_origins=cloudfront.ResponseHeadersPolicyCorsConfigAccessControlAllowOriginsArgs(
            items=list(origins)
        ),
        access_control_expose_headers=cloudfront.ResponseHeadersPolicyCorsConfigAccessControlExposeHeadersArgs(
            items=list(READABLE_HEADERS)
        ),
        access_control_max_age_sec=DAY,
        origin_override=True,
    )
