"""Whether a stack would work where it goes: quotas of the account, and who signs people in.

A new account has small ones: ten functions at the same time, five processors on Spot. A stack in it
would deploy and then be slow, or fail half-way. :func:`demands` reads from a declaration what a
stack may use; :func:`check` asks the account and says in words what is too small, and how to ask
AWS for more. :func:`check_provider` reads what the provider that signs people in says of itself.
What cannot be asked is said too, and holds nothing up.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from worker.adapters.aws.errors import aws_call
from worker.domain.errors import SafelightError
from worker.infra import program, stack_file
from worker.infra.program import Declaration, Resource
from worker.infra.stack_file import StackFile

GLOBAL_REGION = "us-east-1"
"""Where the quotas of CloudFront are."""
UNRESERVED = 100
"""Instances that Lambda keeps for functions without reserved ones (AWS Lambda Developer Guide,
"Configuring reserved concurrency")."""


DISCOVERY = "/.well-known/openid-configuration"
DISCOVERY_SECONDS = 5
DISCOVERY_BYTES = 200_000


class State(StrEnum):
    """What is known, the worst first."""

    WRONG = "wrong"
    """AWS would refuse the deployment half-way, or a part of the stack would never work."""
    SMALL = "too small"
    """The stack has to do with less than it is configured for."""
    UNKNOWN = "unknown"
    FINE = "fine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A quota as Service Quotas names it."""

    service: str
    code: str
    name: str
    everywhere: bool = False
    """Of the account in all regions together."""


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
class Demand:
    """What a stack may use of a quota."""

    quota: Quota
    needed: int
    """Of this stack alone."""
    least: int = 0
    """With less AWS refuses, or a part of the stack never works."""
    keys: str
    """What of the configuration says so."""
    otherwise: str
    """What happens with less than ``needed``."""
    below_least: str = ""
    """What happens with less than ``least``."""
    refuses: bool = False
    """Whether less than ``least`` ends a deployment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFinding:
    """What is known of a quota, or of the provider that signs people in."""

    what: str
    """A quota, as ``service/code``, or ``sign-in``."""
    state: State
    message: str
    """A sentence or two for people."""
    limit: int | None = None
    """What the account may have."""
    taken: int | None = None
    """What others of the account have of it, where that is counted."""
    needed: int | None = None
    """What the stack may use."""
    command: str | None = None
    """Asks AWS for more."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "state": self.state.value}


# --- what a stack may use ---------------------------------------------------------------------


def demands(declared: Declaration) -> list[Demand]:
    """What a declaration needs of the quotas that are known here. SQS, SNS, S3 and DynamoDB have
    none that a stack comes near."""
    found = [*_functions(declared), *_machines(declared), *_requests(declared), *_edge(declared)]
    return [one for one in found if one.needed]


def _functions(declared: Declaration) -> Iterator[Demand]:
    functions = declared.of("lambda/Function")
    reserved = {
        one.name: int(one.inputs.get("reservedConcurrentExecutions") or 0) for one in functions
    }
    kept = sum(reserved.values())
    queued = sum(
        int(one.inputs["scalingConfig"]["maximumConcurrency"])
        for one in declared.of("lambda/EventSourceMapping")
        if not reserved.get(one.name)
    )
    yield Demand(
        quota=CONCURRENCY,
        needed=kept + queued + (UNRESERVED if kept else 0),
        least=kept + UNRESERVED if kept else 0,
        keys="intake.maximumConcurrency, intake.reservedConcurrency, api.reservedConcurrency",
        otherwise="Uploads wait in the queue, and requests of the API may be refused meanwhile.",
        below_least=f"Lambda reserves nothing that leaves fewer than {UNRESERVED} for the others.",
        refuses=True,
    )


def _machines(declared: Declaration) -> Iterator[Demand]:
    environments = [
        one.inputs["computeResources"] for one in declared.of("batch/ComputeEnvironment")
    ]
    largest = max((_processors(one) for one in declared.of("batch/JobDefinition")), default=0)
    for quota, kind, keys in (
        (SPOT, "SPOT", "heavy.spotVcpus"),
        (ON_DEMAND, "EC2", "heavy.baselineVcpus, heavy.overflowVcpus"),
    ):
        most = sum(int(one["maxVcpus"]) for one in environments if one["type"] == kind)
        yield Demand(
            quota=quota,
            needed=most,
            least=min(largest, most),
            keys=keys,
            otherwise="Fewer jobs run at the same time.",
            below_least=f"Jobs that need {largest} processors never start there.",
        )


def _processors(definition: Resource) -> int:
    wanted = json.loads(definition.inputs["containerProperties"])["resourceRequirements"]
    return max(int(float(one["value"])) for one in wanted if one["type"] == "VCPU")


def _requests(declared: Declaration) -> Iterator[Demand]:
    for stage in declared.of("apigatewayv2/Stage"):
        limits = stage.inputs["defaultRouteSettings"]
        yield Demand(
            quota=REQUESTS,
            needed=int(limits["throttlingRateLimit"]),
            keys="api.requestsPerSecond",
            otherwise="The account's APIs together answer fewer, and the others with 429.",
        )


def _edge(declared: Declaration) -> Iterator[Demand]:
    for quota, kind in (
        (DISTRIBUTIONS, "cloudfront/Distribution"),
        (CACHE_POLICIES, "cloudfront/CachePolicy"),
        (HEADERS_POLICIES, "cloudfront/ResponseHeadersPolicy"),
    ):
        count = len(declared.of(kind))
        yield Demand(
            quota=quota,
            needed=count,
            least=count,
            keys="delivery.enabled, console.enabled",
            otherwise="",
            below_least="CloudFront makes no more.",
            refuses=True,
        )


# --- what the account has ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Clients of the account that a stack goes to."""

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
        """How much the account may have.

        Raises:
            SafelightError: it does not say.
        """
        if quota is CONCURRENCY:  # Lambda itself says what holds now
            with aws_call("lambda:GetAccountSettings"):
                limits = self.functions.get_account_settings()["AccountLimit"]
            return int(limits["ConcurrentExecutions"])
        client = self.global_quotas if quota.everywhere else self.quotas
        asked = {"ServiceCode": quota.service, "QuotaCode": quota.code}
        with aws_call("servicequotas:GetServiceQuota"):
            try:
                found = client.get_service_quota(**asked)
            except client.exceptions.NoSuchResourceException:  # nobody has asked for more yet
                found = client.get_aws_default_service_quota(**asked)
        return int(found["Quota"]["Value"])

    def taken(self, quota: Quota, stack: str) -> int | None:
        """How much others of the account have, beside the stack itself; None where it is a rate."""
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
        session = boto3.Session(profile_name=profile or None, region_name=region)

        def client(service: str, where: str | None = None) -> Any:
            return session.client(service, region_name=where, config=config)

        return Account(
            region=client("lambda").meta.region_name,
            functions=client("lambda"),
            quotas=client("service-quotas"),
            global_quotas=client("service-quotas", GLOBAL_REGION),
            edge=client("cloudfront"),
        )


# --- what comes of it -------------------------------------------------------------------------


def check(wanted: Iterable[Demand], account: Account, *, stack: str) -> list[AccountFinding]:
    """Ask for each quota. Nothing is raised for one that cannot be read."""
    return [_check(one, account, stack) for one in wanted]


def _check(demand: Demand, account: Account, stack: str) -> AccountFinding:
    quota = demand.quota
    what = f"{quota.service}/{quota.code}"
    try:
        limit, taken = account.limit(quota), account.taken(quota, stack)
    except SafelightError as error:
        message = f"The account does not say how many {quota.name} it may have: {error}"
        return AccountFinding(what=what, state=State.UNKNOWN, message=message, needed=demand.needed)
    where = "" if quota.everywhere else f" in {account.region}"
    others = f", of which others have {taken:,}" if taken else ""
    said = (
        f"The account may have {limit:,} {quota.name}{where}{others};"
        f" this stack may use {demand.needed:,} ({demand.keys})."
    )
    left, state, command = limit - (taken or 0), State.FINE, None
    if left < demand.needed:
        short = left < demand.least
        state = State.WRONG if short and demand.refuses else State.SMALL
        said = f"{said} {demand.below_least if short else demand.otherwise}"
        command = (
            "aws service-quotas request-service-quota-increase"
            f" --region {GLOBAL_REGION if quota.everywhere else account.region}"
            f" --service-code {quota.service} --quota-code {quota.code}"
            f" --desired-value {(taken or 0) + demand.needed}"
        )
    return AccountFinding(
        what=what,
        state=state,
        message=said,
        limit=limit,
        taken=taken,
        needed=demand.needed,
        command=command,
    )


# --- who signs people in ----------------------------------------------------------------------


def issuer_of(declared: Declaration) -> str | None:
    """Whom the API believes; None without an API, or with a user pool that is yet to be made."""
    for one in declared.of("apigatewayv2/Authorizer"):
        issuer = str(one.inputs["jwtConfiguration"]["issuer"])
        if not declared.of("cognito/UserPool"):
            return issuer
    return None


def origins_of(declared: Declaration) -> frozenset[str] | None:
    """Whom the console may ask, by its policy; None without a console."""
    for one in declared.of("cloudfront/ResponseHeadersPolicy"):
        security = one.inputs["securityHeadersConfig"]["contentSecurityPolicy"]
        for directive in str(security["contentSecurityPolicy"]).split("; "):
            if directive.startswith("connect-src "):
                return frozenset(directive.split()[1:])
    return None


def check_provider(issuer: str, origins: frozenset[str] | None) -> AccountFinding:
    """What a provider says of itself. Nothing is raised if it does not.

    Args:
        issuer: as it is configured; tokens must name it exactly so.
        origins: whom the console may ask; None without one.
    """

    def finding(state: State, message: str) -> AccountFinding:
        return AccountFinding(what="sign-in", state=state, message=message)

    url = issuer.rstrip("/") + DISCOVERY
    try:
        # https, as the configuration has been checked for.
        with urllib.request.urlopen(url, timeout=DISCOVERY_SECONDS) as answer:  # noqa: S310
            said = json.loads(answer.read(DISCOVERY_BYTES))
    except (OSError, ValueError) as error:
        return finding(State.UNKNOWN, f"{url} cannot be read from here: {error}")
    if not isinstance(said, Mapping) or said.get("issuer") != issuer:
        other = said.get("issuer") if isinstance(said, Mapping) else None
        return finding(
            State.WRONG,
            f"{url} says that it is {other!r}: no token will name {issuer!r} (api.issuer).",
        )
    wanted = ["token_endpoint", "revocation_endpoint"] if origins is not None else []
    far = sorted(
        {
            f"{parts.scheme}://{parts.netloc}"
            for name in wanted
            if (parts := urlsplit(str(said.get(name) or ""))).netloc
        }
        - (origins or frozenset())
    )
    if far:
        return finding(
            State.WRONG,
            f"The console may not ask {', '.join(far)}, where tokens come from at {issuer}:"
            " name it in console.signInOrigins.",
        )
    methods = said.get("code_challenge_methods_supported")
    if origins is not None and isinstance(methods, list) and "S256" not in methods:
        return finding(
            State.WRONG, f"{issuer} does not know PKCE with S256, and the console asks so."
        )
    return finding(State.FINE, f"{issuer} answers, and is who it should be.")


def lines(findings: Iterable[AccountFinding]) -> Iterator[str]:
    """What people read, the worst first."""
    order = list(State)
    for one in sorted(findings, key=lambda one: order.index(one.state)):
        yield f"{one.state.value}: {one.message}"
        if one.command:
            yield f"    {one.command}"


def of_stack(stack: str, file: StackFile) -> list[AccountFinding]:
    """Everything that is to be known before a stack is deployed.

    Raises:
        ConfigurationError: the configuration is mistaken, or there are no credentials.
    """
    declared = program.declare(stack, file.config, region=file.region)
    found = check(
        demands(declared), account(file.region, stack_file.deploy_facts(file).profile), stack=stack
    )
    issuer = issuer_of(declared)
    if issuer is not None:
        found.append(check_provider(issuer, origins_of(declared)))
    return found
