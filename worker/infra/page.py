"""``docs/infrastructure.md``: every resource of a stack, what it is for and what it refers to.

:func:`components` reads a declaration; :func:`mermaid` draws it; :func:`write` is the page. The
purpose of a component is the first paragraph of its class's docstring.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.infra import stack_file
from worker.infra.program import Declaration, Resource, declare

STACK = "prod"
"""Whose configuration the page shows, with :data:`EVERYTHING` added."""
EVERYTHING: Mapping[str, Mapping[str, Any]] = {
    "storage": {"accessLogs": True, "replicateTo": "arn:aws:s3:::originals-elsewhere"},
    "catalog": {"capacity": "provisioned", "contributorInsights": True},
    "api": {
        "enabled": True,
        "origins": ["https://www.example.com"],
    },
    "console": {"enabled": True, "userPool": True},
    "delivery": {
        "enabled": True,
        "domains": ["img.example.com"],
        "certificate": "arn:aws:acm:us-east-1:123456789012:certificate/"
        "01234567-89ab-cdef-0123-456789abcdef",
        "snapStart": True,
        "logs": True,
        "upgradeCents": 200,
        "rateLimit": 10_000,
    },
    "webhooks": {
        "endpoints": {"shop": {"url": "https://shop.example.com/hook", "events": ["asset.*"]}},
        "topic": ["*"],
    },
    "observability": {"enabled": True, "email": "team@example.com"},
    "cost": {
        "email": "team@example.com",
        "monthlyBudget": 30_000,
        "anomalyDollars": 200,
        "activateTags": True,
        "powerTuning": True,
        "savingsPlanCents": 150,
    },
}
"""Merged into the configuration of ``prod``, so that the page shows every component."""

MANY = 3
"""More resources of one kind are counted, not named."""
LOG = "cloudwatch/LogGroup"
FILE = "s3/BucketObject"
"""A file that a component brings with it: as many as there are, and no infrastructure."""
ALONE = "the stack itself"
"""The component of resources in no component: providers, for instance."""

PURPOSES: Mapping[str, str] = {
    "apigatewayv2/Authorizer": "Refuses requests without a token of the issuer, for this audience",
    "apigatewayv2/Integration": "Hands requests to the function, whole",
    "apigatewayv2/Route": "Which requests need a token: all but two that tell nothing of anybody",
    "apigatewayv2/Stage": "Limits the rate and logs who asked for what",
    "appautoscaling/Policy": "Keeps the provisioned capacity near the share that is to be used",
    "appautoscaling/Target": "Between which capacities it may move",
    "batch/ComputeEnvironment": "Machines that Batch starts and stops as jobs need them",
    "batch/JobDefinition": "How a kind of job runs: image, size, timeout, what is tried again",
    "batch/JobQueue": "Jobs of one urgency, and the machines they may use, the first first",
    "batch/SchedulingPolicy": "Shares of the machines, so that no owner's jobs keep others waiting",
    "budgets/Budget": "Says when the month's cost is, or will be, more than planned",
    "cloudfront/CachePolicy": "The cache key, and how long the cache keeps a file",
    "cloudfront/Function": "Edge function for every request: chooses the file that a client gets",
    "cloudfront/Distribution": "Answers from the nearest edge, and asks the buckets for the rest",
    "cloudfront/ResponseHeadersPolicy": "Headers of every response: CORS, and no MIME sniffing",
    "cloudwatch/Dashboard": "All figures and alarms on one page",
    "cloudwatch/EventArchive": "Keeps every event for some days, to be sent again",
    "cloudwatch/EventTarget": "Where the events of a rule go",
    "cloudwatch/LogDelivery": "Brings the logs of a source to a destination",
    "cloudwatch/LogDeliveryDestination": "The bucket of logs, as a destination",
    "cloudwatch/LogDeliverySource": "The requests that the distribution answers, as logs",
    "cloudwatch/LogGroup": "What is logged, deleted after the days that are configured",
    "cloudwatch/LogMetricFilter": "Counts what is logged, for an alarm",
    "cloudwatch/LogResourcePolicy": "Lets EventBridge write into a log group",
    "cognito/ResourceServer": "The scopes that tokens can have",
    "cognito/UserPool": "User accounts, which an administrator creates",
    "cognito/UserPoolClient": "The console: a client without a secret, with its address",
    "cognito/UserPoolDomain": "The pages where people sign in",
    "cloudcontrol/Resource": "Learns what each value of the tag Stack usually costs, by AWS",
    "costexplorer/AnomalySubscription": "Who is told of unusual cost, and from which amount",
    "costexplorer/CostAllocationTag": "Shows cost by this tag in the account's bills",
    "dynamodb/ContributorInsights": "Which keys are read and written most",
    "dynamodb/Table": "Assets, tags, lists and jobs",
    "ec2/DefaultSecurityGroup": "The network's own group, which lets nothing in or out",
    "ec2/LaunchTemplate": "What each machine starts with: its disk, and metadata by token only",
    "ec2/RouteTable": "Ways out of the subnets: to the gateway endpoints, and nowhere else",
    "ec2/RouteTableAssociation": "Which routes a subnet has",
    "ec2/Subnet": "Addresses in one zone",
    "ec2/Vpc": "A network of its own: for jobs, or for the cache and the delivery function",
    "ec2/VpcEndpoint": "The way to one service without the internet",
    "ecr/LifecyclePolicy": "Which images are deleted, and when",
    "ecr/Repository": "Images, scanned as they are pushed; a tag never moves",
    "ecr/RepositoryPolicy": "Who may pull",
    "elasticache/User": "Who may use the cache, and by which commands; signs in by IAM",
    "elasticache/UserGroup": "The users of the cache",
    "iam/InstanceProfile": "Gives machines their role",
    "iam/RolePolicy": "What a role may do, and to what",
    "lambda/EventSourceMapping": "Hands messages to the function: how many, and how many at once",
    "lambda/Alias": "Points to the newest published version, which has a snapshot",
    "lambda/FunctionEventInvokeConfig": "What becomes of events that the function fails on",
    "lambda/FunctionUrl": "URL of the function; accepts only signed requests of the distribution",
    "lambda/Permission": "Who may call the function",
    "s3/Bucket": "Objects of one purpose",
    "s3/BucketAccelerateConfiguration": "Uploads by way of the nearest edge of AWS's network",
    "s3/BucketCorsConfiguration": "Which web pages may upload, and read the ETag of what they did",
    "s3/BucketLifecycleConfiguration": "What moves to cheaper storage or is deleted, and when",
    "s3/BucketLogging": "Where each access is logged",
    "s3/BucketNotification": "Tells the queue, and EventBridge, of each upload",
    "s3/BucketOwnershipControls": "All objects are the account's: there are no access lists",
    "s3/BucketPolicy": "Refuses requests without TLS; allows other principals what they need",
    "s3/BucketPublicAccessBlock": "Nothing here can be made public",
    "s3/BucketReplicationConfig": "Copies each original to another bucket",
    "s3/BucketServerSideEncryptionConfiguration": "Encrypts what is stored",
    "s3/BucketVersioning": "Keeps what is overwritten or deleted for a while",
    "savingsplans/SavingsPlan": "A discount for an hourly commitment; it cannot be cancelled",
    "serverlessrepository/CloudFormationStack": "AWS Lambda Power Tuning, to find the best memory",
    "sfn/StateMachine": "Plan, encode in parts, assemble: the jobs of one heavy upload",
    "sns/Topic": "Where alarms are told",
    "sns/TopicPolicy": "Who may tell",
    "sns/TopicSubscription": "Who is told",
    "sqs/Queue": "Messages until they are worked on, or until somebody looks at the dead ones",
    "sqs/QueuePolicy": "Who may send",
    "sqs/RedriveAllowPolicy": "Whose dead letters it takes",
    "wafv2/WebAcl": "Refuses requests of addresses that send too many",
}
"""The purpose of a kind of resource, by ``Resource.kind``; for resources without a description."""

_INTRODUCTION = """\
# Infrastructure

Everything that the [Pulumi program](../pulumi/README.md) declares for a stack like `prod`, with all
that is off unless asked for switched on: `Pulumi.prod.yaml` with addresses for alarms, a budget and
a watch for unusual spending. `make infra-docs` makes this page from the program itself; a test
fails when the two differ.

```mermaid
{graph}```

An arrow leads from a component to one that it refers to and cannot be made without. It is left out
where other arrows lead there too.

{total} resources in {components} components. `safelight infra plan --stack dev` prints those of any
stack with all their inputs, and what is different from the last time; `safelight infra graph`
draws the components of any stack.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentPart:
    """A resource of a component, with what the page says about it."""

    resource: Resource
    within: str
    """The inner component that contains it (``PrivateBucket intake``); empty if none."""
    purpose: str
    """Its description, or what its kind is for."""
    needs: tuple[tuple[str, Resource], ...]
    """The resources that it refers to, with the component's name; sorted by component, kind and
    name."""

    @property
    def drawn(self) -> bool:
        """Whether the graph names it: what can be tagged, but for roles and logs. The others are
        settings of these."""
        kind = self.resource.kind
        return "tags" in self.resource.inputs and not kind.startswith("iam/") and kind != LOG


@dataclass(frozen=True, slots=True, kw_only=True)
class StackComponent:
    """One of the program's own components, with its resources."""

    name: str
    title: str
    """Of its class: ``Buckets``."""
    purpose: str
    parts: tuple[ComponentPart, ...]
    """By kind and name."""
    inner: Mapping[str, str]
    """Purposes of the classes of components within it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """All components, and which refers to which."""

    all: tuple[StackComponent, ...]
    """By name."""
    references: frozenset[tuple[str, str]]
    """Pairs of names: the first component refers to a resource of the second."""


def components(declared: Declaration) -> Components:
    """The components of a declaration, and which refers to which."""
    by_urn = {one.urn: one for one in declared.resources}
    home = {one.urn: _outermost(one, by_urn) for one in declared.resources}
    names = {urn: ALONE if top is None else top.name for urn, top in home.items()}
    parts: dict[str, list[ComponentPart]] = {}
    inner: dict[str, dict[str, str]] = {}
    tops: dict[str, Resource | None] = {}
    for one in declared.resources:
        name = names[one.urn]
        if one.component:
            tops.setdefault(name, home[one.urn])
            if one is not home[one.urn]:
                inner.setdefault(name, {})[_title(one)] = _purpose(one)
            continue
        tops.setdefault(name, home[one.urn])
        if one.kind == FILE:
            continue
        parts.setdefault(name, []).append(_part(one, by_urn, names))
    return Components(
        all=tuple(
            StackComponent(
                name=name,
                title="" if top is None else _title(top),
                purpose="" if top is None else _purpose(top),
                parts=tuple(sorted(parts.get(name, ()), key=_order)),
                inner=dict(sorted(inner.get(name, {}).items())),
            )
            for name, top in sorted(tops.items())
        ),
        references=frozenset(
            (name, other)
            for name, found in parts.items()
            for part in found
            for other, _ in part.needs
            if other != name
        ),
    )


def _part(one: Resource, by_urn: Mapping[str, Resource], names: Mapping[str, str]) -> ComponentPart:
    above = by_urn.get(one.parent_urn)
    deep = above is not None and above.parent_urn in by_urn
    purpose = one.inputs.get("description") or one.inputs.get("alarmDescription")
    if not isinstance(purpose, str):
        purpose = PURPOSES.get(one.kind, "")
    needs = [(names[urn], by_urn[urn]) for urn in one.needs if urn in by_urn]
    return ComponentPart(
        resource=one,
        within=f"{_title(above)} {above.name}" if above is not None and deep else "",
        purpose=purpose,
        needs=tuple(
            sorted(
                (pair for pair in needs if not pair[1].component),
                key=lambda pair: (pair[0], pair[1].kind, pair[1].name),
            )
        ),
    )


def _order(part: ComponentPart) -> tuple[str, str, str]:
    return (part.resource.kind, part.resource.name, part.resource.urn)


def _outermost(one: Resource, by_urn: Mapping[str, Resource]) -> Resource | None:
    top = one if one.component else None
    above = by_urn.get(one.parent_urn)
    while above is not None:
        top = above
        above = by_urn.get(above.parent_urn)
    return top


def _title(component: Resource) -> str:
    return component.kind.rpartition(":")[2]


def _purpose(component: Resource) -> str:
    """The first sentences of the docstring of the class behind ``safelight:module:Class``."""
    _, module, name = component.kind.split(":")
    try:
        found: Any = getattr(importlib.import_module(f"stack.{module}"), name, None)
    except ModuleNotFoundError:
        return ""
    text = inspect.getdoc(found) if inspect.isclass(found) else None
    return " ".join((text or "").partition("\n\n")[0].split())


def counted(resources: Iterable[Resource]) -> dict[str, list[str]]:
    """Names by kind, both in order."""
    found: dict[str, list[str]] = {}
    for one in sorted(resources, key=lambda one: (one.kind, one.name)):
        found.setdefault(one.kind, []).append(one.name)
    return found


def mermaid(found: Components) -> str:
    """A flowchart of Mermaid, which viewers of Markdown draw: a node for each component, an arrow
    for each reference.

    A reference has no arrow where other arrows lead there too; the page's table has all of them.
    """
    nodes = {one.name: f"c{number}" for number, one in enumerate(found.all)}
    lines = ["flowchart TB"]
    lines += [f'  {nodes[one.name]}["{_label(one)}"]' for one in found.all]
    lines += [
        f"  {nodes[a]} --> {nodes[b]}"
        for a, b in sorted(found.references)
        if not _reached(found, a, b)
    ]
    return "\n".join(lines) + "\n"


def _label(component: StackComponent) -> str:
    drawn = counted(part.resource for part in component.parts if part.drawn)
    lines = [f"<b>{_text(component.name)}</b>"]
    for kind, names in drawn.items():
        title = _text(kind.rpartition("/")[2])
        many = len(names) > MANY
        lines.append(f"{len(names)} {title}" if many else f"{title} {_text(', '.join(names))}")
    return "<br/>".join(lines)


def _text(value: str) -> str:
    """Mermaid reads HTML in labels, and ends them at a quotation mark."""
    return (
        value.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    )


def _reached(found: Components, start: str, end: str) -> bool:
    """Whether references other than the direct one lead from one component to another."""
    seen: set[str] = set()
    waiting = [b for a, b in found.references if a == start and b != end]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [b for a, b in found.references if a == name]
    return end in seen


def write(found: Components) -> str:
    """The page as Markdown."""
    total = sum(len(one.parts) for one in found.all)
    lines = [
        _INTRODUCTION.format(
            total=total,
            components=len(found.all),
            graph=mermaid(found),
        ),
        "| Component | Resources | Refers to | Is for |",
        "| --- | --- | --- | --- |",
    ]
    for one in found.all:
        others = sorted(b for a, b in found.references if a == one.name)
        links = ", ".join(f"[{other}](#{_anchor(other)})" for other in others)
        link = f"[{one.name}](#{_anchor(one.name)})"
        lines.append(f"| {link} | {len(one.parts)} | {links} | {_cell(one.purpose)} |")
    for one in found.all:
        lines += ["", *_section(one)]
    return "\n".join(lines) + "\n"


def _section(one: StackComponent) -> Iterator[str]:
    yield f"## {one.name}"
    yield ""
    if one.purpose:
        yield one.purpose
        yield ""
    for title, purpose in one.inner.items():
        yield f"- `{title}`: {purpose}"
    if one.inner:
        yield ""
    if not one.parts:
        yield "Nothing in this stack."
        return
    yield "| Type | Name | Within | Is for | Refers to |"
    yield "| --- | --- | --- | --- | --- |"
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for part in one.parts:
        needs = "; ".join(_needs(part, one.name))
        # Resources that differ only in their names share a line.
        row = (part.resource.kind, part.within, part.purpose, needs)
        rows.setdefault(row, []).append(part.resource.name)
    for (kind, within, purpose, needs), names in rows.items():
        yield f"| `{kind}` | {', '.join(names)} | {within} | {_cell(purpose)} | {_cell(needs)} |"


def _needs(part: ComponentPart, home: str) -> Iterator[str]:
    by_kind: dict[tuple[str, str], list[Resource]] = {}
    for component, other in part.needs:
        by_kind.setdefault((component, other.kind), []).append(other)
    for (component, kind), found in by_kind.items():
        where = "" if component == home else f"{component}: "
        title = kind.rpartition("/")[2]
        if len(found) > MANY:
            yield f"{where}{len(found)} {title}"
        else:
            yield f"{where}{title} {', '.join(one.name for one in found)}"


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def every_component() -> Components:
    """The components of a stack like prod with every part switched on.

    Raises:
        CheckoutMissing: there is no program here.
        ConfigurationError: its configuration is mistaken.
    """
    file = stack_file.of_stack(STACK)
    config = dict(file.config)
    for key, section in EVERYTHING.items():
        config[key] = {**config.get(key, {}), **section}
    return components(declare(STACK, config, region=file.region))
