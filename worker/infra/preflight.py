"""Checks before a deployment: the quotas of the account, and the OpenID provider.

A new account has small quotas: ten functions at the same time, five processors on Spot. A stack in
it would deploy and then be slow, or fail half-way. :func:`demands` reads from a declaration what a
stack may use. :func:`check` reads the quotas, and reports those that are too small with the command
that asks AWS for more. :func:`check_provider` reads the discovery document of the provider. A check
that cannot be made is reported as unknown and does not stop a deployment.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from worker.adapters.aws.quotas import (
    CACHE_POLICIES,
    CONCURRENCY,
    DISTRIBUTIONS,
    GLOBAL_REGION,
    HEADERS_POLICIES,
    ON_DEMAND,
    REQUESTS,
    SPOT,
    Account,
    Quota,
    account,
)
from worker.domain.errors import SafelightError
from worker.infra import program, stack_file
from worker.infra.program import Declaration, Resource
from worker.infra.stack_file import StackFile

POLLER_CALLS = 10
"""Calls at the same time of a provisioned poller (AWS Lambda Developer Guide, "Configuring scaling
behavior for SQS event source mappings")."""
UNRESERVED = 100
"""Instances that Lambda keeps for functions without reserved ones (AWS Lambda Developer Guide,
"Configuring reserved concurrency")."""


DISCOVERY = "/.well-known/openid-configuration"
DISCOVERY_SECONDS = 5
DISCOVERY_BYTES = 200_000


class State(StrEnum):
    """The result of a check, the worst first."""

    WRONG = "wrong"
    """AWS would refuse the deployment half-way, or a part of the stack would never work."""
    SMALL = "too small"
    """The stack gets less than it is configured for."""
    UNKNOWN = "unknown"
    FINE = "fine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The most that a stack may use of a quota."""

    quota: Quota
    needed: int
    """Of this stack alone."""
    least: int = 0
    """If the quota is smaller, AWS refuses, or a part of the stack never works."""
    keys: str
    """The configuration keys that this follows from."""
    otherwise: str
    """The effect of a quota below ``needed``."""
    below_least: str = ""
    """The effect of a quota below ``least``."""
    refuses: bool = False
    """Whether less than ``least`` ends a deployment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFinding:
    """The result for a quota, or for the OpenID provider."""

    what: str
    """A quota, as ``service/code``, or ``sign-in``."""
    state: State
    message: str
    """A sentence or two for people."""
    limit: int | None = None
    """The quota of the account."""
    taken: int | None = None
    """How much other users of the account take of it, if that can be counted."""
    needed: int | None = None
    """The amount available to the stack."""
    command: str | None = None
    """The command that asks AWS for more."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "state": self.state.value}


# --- what a stack may use ---------------------------------------------------------------------


def demands(declared: Declaration) -> list[Demand]:
    """The needs of a declaration for each quota. Not checked are quotas of SQS, SNS, S3 and
    DynamoDB, because they are far above the needs of a stack."""
    found = [*_functions(declared), *_machines(declared), *_requests(declared), *_edge(declared)]
    return [one for one in found if one.needed]


def _functions(declared: Declaration) -> Iterator[Demand]:
    functions = declared.of("lambda/Function")
    reserved = {
        one.name: int(one.inputs.get("reservedConcurrentExecutions") or 0) for one in functions
    }
    kept = sum(reserved.values())
    sources = [
        one.inputs for one in declared.of("lambda/EventSourceMapping") if not reserved.get(one.name)
    ]
    # Of a stream: for each of its shards, of which a new table has one.
    queued = sum(_calls(one) for one in sources)
    yield Demand(
        quota=CONCURRENCY,
        needed=kept + queued + (UNRESERVED if kept else 0),
        least=kept + UNRESERVED if kept else 0,
        keys="intake.maximumConcurrency, intake.maximumPollers, intake.reservedConcurrency,"
        " api.reservedConcurrency",
        otherwise="Uploads wait in the queue, and requests of the API may be refused meanwhile.",
        below_least=f"Lambda must keep {UNRESERVED} for the others, and refuses to reserve more.",
        refuses=True,
    )


def _calls(source: Mapping[str, Any]) -> int:
    """Calls that an event source may make at the same time."""
    if pollers := source.get("provisionedPollerConfig"):
        return POLLER_CALLS * int(pollers["maximumPollers"])
    if scaling := source.get("scalingConfig"):
        return int(scaling["maximumConcurrency"])
    return int(source["parallelizationFactor"])


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
            otherwise="The account's APIs together answer fewer requests, and the rest get 429.",
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
            below_least="CloudFront refuses to make more.",
            refuses=True,
        )


# --- the check --------------------------------------------------------------------------------


def check(wanted: Iterable[Demand], account: Account, *, stack: str) -> list[AccountFinding]:
    """Read each quota. One that cannot be read is a finding, not an error."""
    return [_check(one, account, stack) for one in wanted]


def _check(demand: Demand, account: Account, stack: str) -> AccountFinding:
    quota = demand.quota
    what = f"{quota.service}/{quota.code}"
    try:
        limit, taken = account.limit(quota), account.taken(quota, stack)
    except SafelightError as error:
        message = f"The account's quota of {quota.name} cannot be read: {error}"
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


# --- the OpenID provider ----------------------------------------------------------------------


def issuer_of(declared: Declaration) -> str | None:
    """The issuer that the API trusts; None without an API, or with a user pool of the stack."""
    for one in declared.of("apigatewayv2/Authorizer"):
        issuer = str(one.inputs["jwtConfiguration"]["issuer"])
        if not declared.of("cognito/UserPool"):
            return issuer
    return None


def origins_of(declared: Declaration) -> frozenset[str] | None:
    """Origins that the console may connect to, by its policy; None without a console."""
    for one in declared.of("cloudfront/ResponseHeadersPolicy"):
        security = one.inputs["securityHeadersConfig"]["contentSecurityPolicy"]
        for directive in str(security["contentSecurityPolicy"]).split("; "):
            if directive.startswith("connect-src "):
                return frozenset(directive.split()[1:])
    return None


def check_provider(issuer: str, origins: frozenset[str] | None) -> AccountFinding:
    """Check a provider's discovery document. One that cannot be read is a finding, not an error.

    Args:
        issuer: as configured; tokens must contain exactly this text.
        origins: those that the console may connect to; None without a console.
    """

    def finding(state: State, message: str) -> AccountFinding:
        return AccountFinding(what="sign-in", state=state, message=message)

    url = issuer.rstrip("/") + DISCOVERY
    try:
        # https, as the configuration has been checked for.
        with urllib.request.urlopen(url, timeout=DISCOVERY_SECONDS) as answer:  # noqa: S310
            said = json.loads(answer.read(DISCOVERY_BYTES))
    except (HTTPException, OSError, ValueError) as error:
        return finding(State.UNKNOWN, f"{url} cannot be read from here: {error}")
    if not isinstance(said, Mapping) or said.get("issuer") != issuer:
        other = said.get("issuer") if isinstance(said, Mapping) else None
        return finding(
            State.WRONG,
            f"{url} gives the issuer {other!r}: no token will name {issuer!r} (api.issuer).",
        )
    wanted = ("token_endpoint", "revocation_endpoint") if origins is not None else ()
    far = sorted({_origin(said.get(name)) for name in wanted} - {"", *(origins or ())})
    if far:
        return finding(
            State.WRONG,
            f"The console may not connect to {', '.join(far)}, where {issuer} has its endpoints"
            " for tokens: add it to console.signInOrigins.",
        )
    methods = said.get("code_challenge_methods_supported")
    if origins is not None and isinstance(methods, list) and "S256" not in methods:
        return finding(
            State.WRONG, f"{issuer} does not support PKCE with S256, which the console uses."
        )
    return finding(State.FINE, f"{issuer} answers, and its document names this issuer.")


def _origin(address: object) -> str:
    """The origin of a URL; empty if it is missing, the whole text if it is not a URL."""
    text = str(address or "")
    try:
        found = urlsplit(text)
    except ValueError:
        return text
    return f"{found.scheme}://{found.netloc}" if found.netloc else text


def lines(findings: Iterable[AccountFinding]) -> Iterator[str]:
    """The findings as text, the worst first."""
    order = list(State)
    for one in sorted(findings, key=lambda one: order.index(one.state)):
        yield f"{one.state.value}: {one.message}"
        if one.command:
            yield f"    {one.command}"


def of_stack(stack: str, file: StackFile) -> list[AccountFinding]:
    """All findings for a stack.

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
