"""The quotas of an AWS account, and how much of each is in use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.adapters.aws.errors import aws_call

GLOBAL_REGION = "us-east-1"
"""The region that has the quotas of CloudFront."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A quota as Service Quotas names it."""

    service: str
    code: str
    name: str
    everywhere: bool = False
    """Whether the quota is for all regions together."""


CONCURRENCY = Quota(service="lambda", code="L-B99A9384", name="functions that run at the same time")
SPOT = Quota(service="ec2", code="L-34B43A08", name="processors on Spot, of standard machines")
ON_DEMAND = Quota(
    service="ec2", code="L-1216C47A", name="processors on demand, of standard machines"
)
REQUESTS = Quota(service="apigateway", code="L-8A5B8E43", name="requests a second of all APIs")
DISTRIBUTIONS = Quota(
    service="cloudfront", code="L-24B04930", name="distributions", everywhere=True
)
CACHE_POLICIES = Quota(
    service="cloudfront", code="L-7D134442", name="cache policies", everywhere=True
)
HEADERS_POLICIES = Quota(
    service="cloudfront", code="L-CF0D4FC5", name="response headers policies", everywhere=True
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Clients of the account that the stack is deployed to."""

    region: str
    functions: Any
    """Lambda."""
    quotas: Any
    """Service Quotas of the region."""
    global_quotas: Any
    """Those of us-east-1."""
    edge: Any
    """CloudFront."""

    def limit(self, quota: Quota) -> int:
        """The value of a quota in this account.

        Raises:
            SafelightError: it cannot be read.
        """
        if quota is CONCURRENCY:  # only Lambda's API has the current value
            with aws_call("lambda:GetAccountSettings"):
                limits = self.functions.get_account_settings()["AccountLimit"]
            return int(limits["ConcurrentExecutions"])
        client = self.global_quotas if quota.everywhere else self.quotas
        asked = {"ServiceCode": quota.service, "QuotaCode": quota.code}
        with aws_call("servicequotas:GetServiceQuota"):
            try:
                found = client.get_service_quota(**asked)
            except client.exceptions.NoSuchResourceException:  # the account has the default
                found = client.get_aws_default_service_quota(**asked)
        return int(found["Quota"]["Value"])

    def taken(self, quota: Quota, stack: str) -> int | None:
        """How much of a quota other users of the account take; None if the quota is a rate."""
        ours = f"safelight-{stack}"
        if quota is DISTRIBUTIONS:
            found = self._listed("list_distributions", "DistributionList")
            return sum(not str(one.get("Comment", "")).endswith(f" {ours}") for one in found)
        if quota is CACHE_POLICIES:
            found = self._listed("list_cache_policies", "CachePolicyList", Type="custom")
            names = [one["CachePolicy"]["CachePolicyConfig"]["Name"] for one in found]
        elif quota is HEADERS_POLICIES:
            found = self._listed(
                "list_response_headers_policies", "ResponseHeadersPolicyList", Type="custom"
            )
            names = [
                one["ResponseHeadersPolicy"]["ResponseHeadersPolicyConfig"]["Name"] for one in found
            ]
        else:
            return None
        return sum(not name.startswith(f"{ours}-") for name in names)

    def _listed(self, operation: str, key: str, **asked: Any) -> Iterator[Mapping[str, Any]]:
        marker: dict[str, str] = {}
        while True:
            with aws_call(f"cloudfront:{operation.replace('_', ' ').title().replace(' ', '')}"):
                page = getattr(self.edge, operation)(**asked, **marker)[key]
            yield from page.get("Items", [])
            if not page.get("NextMarker"):
                return
            marker = {"Marker": page["NextMarker"]}


def account(region: str | None, profile: str) -> Account:
    """The account of the credentials here.

    Raises:
        SafelightError: there are none, or no region.
    """
    import boto3
    from botocore.config import Config

    # Said to a person who waits: soon, or not at all.
    config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3})
    with aws_call("look for credentials and a region"):
        session: Any = boto3.Session(profile_name=profile or None, region_name=region)

        def client(service: str, where: str | None = None) -> Any:
            return session.client(service, region_name=where, config=config)

        return Account(
            region=client("lambda").meta.region_name,
            functions=client("lambda"),
            quotas=client("service-quotas"),
            global_quotas=client("service-quotas", GLOBAL_REGION),
            edge=client("cloudfront"),
        )
