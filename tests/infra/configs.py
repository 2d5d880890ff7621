"""Configurations to declare: every switch on, every switch off, and anything in between.

What can be switched is read from the configuration's own dataclasses: a new switch is tried
without a word here, and a new value that is no switch fails ``test_properties`` until it is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from hypothesis import strategies as st

from stack.config import LOG_DAYS, SECTIONS
from stack.config.sections import AUDIENCES
from worker.domain.webhook import NAME

REPLICA = "arn:aws:s3:::somewhere-else"
ALONE = ("registry", "only")
"""The one switch that leaves nothing else to look at."""
Values = dict[str, dict[str, Any]]


def camel(name: str) -> str:
    """A field's key in the configuration."""
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def keys() -> set[tuple[str, str]]:
    """Every section and key."""
    return {
        (section, camel(item.name)) for section, kind in SECTIONS.items() for item in fields(kind)
    }


def switches() -> list[tuple[str, str]]:
    """Sections and keys of all that is on or off."""
    return sorted(
        (section, camel(item.name))
        for section, kind in SECTIONS.items()
        for item in fields(kind)
        if isinstance(item.default, bool)
    )


CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef"
OWN_DOMAIN = {"domains": ["img.example.com", "*.example.com"], "certificate": CERTIFICATE}
SIGNED_IN = {"issuer": "https://sign-in.example.com", "audience": "safelight"}
"""What an API needs."""

# What is no switch and still switches something, on and off.
_ON: Mapping[str, Mapping[str, Any]] = {
    "storage": {
        "replicateTo": REPLICA,
        "renditionDays": 30,
        "deletedOriginals": "erase",
        "browserOrigins": ["https://a.example"],
    },
    "catalog": {"capacity": "provisioned"},
    "events": {"archiveDays": 14},
    "intake": {"ordering": "fifo", "reservedConcurrency": 100},
    "heavy": {"baselineVcpus": 8, "overflowVcpus": 8},
    # The user pool stands in for both, where a stack of its own has them too.
    "api": {"issuer": "", "audience": "", "origins": ["https://a.example"]},
    "delivery": {**OWN_DOMAIN, "origins": ["https://a.example"], "uploadKey": "ab" * 32},
    "console": {"signInOrigins": []},
    "webhooks": {
        "endpoints": {"shop": {"url": "https://shop.example/", "events": ["asset.*"]}},
        "topic": ["*"],
    },
    "observability": {"email": "who@example.com"},
    "cost": {
        "monthlyBudget": 100,
        "anomalyDollars": 10,
        "anomalyMonitor": "",
        "dailyLimit": 40,
        "email": "who@example.com",
        "savingsPlanCents": 150,
    },
}
_OFF: Mapping[str, Mapping[str, Any]] = {
    "storage": {"replicateTo": "", "renditionDays": 0, "browserOrigins": []},
    "catalog": {"capacity": "on-demand"},
    "events": {"archiveDays": 0},
    "intake": {"ordering": "standard", "reservedConcurrency": 0},
    "heavy": {"baselineVcpus": 0, "overflowVcpus": 0},
    "api": {**SIGNED_IN, "origins": []},
    "delivery": {"domains": [], "certificate": "", "origins": [], "uploadKey": ""},
    "webhooks": {"endpoints": {}, "topic": []},
    "observability": {"email": ""},
    "cost": {
        "monthlyBudget": 0,
        "anomalyDollars": 0,
        "dailyLimit": 0,
        "email": "",
        "savingsPlanCents": 0,
    },
}


def switched(*, on: bool) -> Values:
    """Everything that can be switched, on or off."""
    found: Values = {section: dict(more) for section, more in (_ON if on else _OFF).items()}
    for section, key in switches():
        if (section, key) != ALONE:
            found.setdefault(section, {})[key] = on
    return found


STANDARD: Values = {"intake": {"ordering": "standard", "batchSize": 50, "batchWindow": 2}}
"""Without order, in larger batches."""

MONITOR = "arn:aws:ce::123456789012:anomalymonitor/01234567-89ab-cdef-0123-456789abcdef"
"""Of another stack in the same account."""

CHOSEN: dict[str, Any] = {
    "batchImage": f"ghcr.io/somebody/safelight-batch@sha256:{'cd' * 32}",
    "recipe": "product",
    "settings": {"heavy_bytes": 1000},
    "storage": {
        "glacierAfterDays": 120,
        "noncurrentDays": 7,
        "renditionDays": 22,
        "supersededDays": 3,
        "quarantineDays": 33,
        "accessLogs": True,
        "accessLogDays": 11,
        "forceDestroy": True,
        "browserOrigins": ["https://www.example.com"],
        "deletedOriginals": "erase",
    },
    "catalog": {
        "capacity": "provisioned",
        "minimumReads": 2,
        "maximumReads": 20,
        "minimumWrites": 3,
        "maximumWrites": 30,
        "pointInTimeRecovery": False,
        "deletionProtection": False,
    },
    "events": {"archiveDays": 0},
    "intake": {
        "architecture": "x86_64",
        "memory": 3008,
        "timeout": 90,
        "logRetentionDays": 7,
        "reservedConcurrency": 120,
    },
    "heavy": {
        "architecture": "x86_64",
        "baselineVcpus": 16,
        "overflowVcpus": 32,
        "privateNetwork": True,
    },
    "api": {
        **SIGNED_IN,
        "enabled": True,
        "origins": ["https://www.example.com"],
        "requestsPerSecond": 50,
        "burst": 70,
        "memory": 512,
        "reservedConcurrency": 5,
        "logRetentionDays": 7,
    },
    "delivery": {
        **OWN_DOMAIN,
        "audience": ["europe", "asia"],
        "origins": ["https://www.example.com"],
        "uploadKey": "ab" * 32,
        "logs": True,
        "logDays": 12,
        "upgradeCents": 250,
        "rateLimit": 2000,
    },
    "cache": {"enabled": True, "gigabytes": 7, "ecpusPerSecond": 70_000},
    "rekognition": {"moderation": True, "labels": True, "rate": 50},
    "console": {
        "enabled": True,
        "clientId": "console-of-the-tests",
        "scope": "openid offline_access safelight:read",
        "audience": "https://api.example.com",
        "signInOrigins": ["https://tokens.example.com"],
    },
    "observability": {
        "anomalies": True,
        "email": "who@example.com",
        "tracing": False,
        "runbooks": "https://ops.example.com/runbooks/",
    },
    "cost": {
        "monthlyBudget": 250,
        "anomalyDollars": 40,
        "anomalyMonitor": MONITOR,
        "dailyLimit": 75,
        "savingsPlanCents": 150,
        "email": "who@example.com",
    },
}
"""Values that are not the defaults, all at once: tests of single values share its one run."""

WITHOUT: Mapping[str, Values] = {
    "api": {"api": {"enabled": False}},
    "registry": {"registry": {"enabled": False}},
    "delivery": {"delivery": {"enabled": False}, "api": {"enabled": True, **SIGNED_IN}},
    "cache": {"cache": {"enabled": False}},
    "console": {"console": {"enabled": False}, "api": {"enabled": True, **SIGNED_IN}},
    "heavy": {"heavy": {"enabled": False}},
    # Money is watched without alarms as well.
    "observability": {
        "observability": {"enabled": False},
        "cost": {"monthlyBudget": 9, "anomalyDollars": 9, "email": "who@example.com"},
    },
}
"""Stacks without one of the parts that can be left out, each missed by all that is left."""


# --- at random ----------------------------------------------------------------------------------


def _switch(section: str) -> dict[str, st.SearchStrategy[Any]]:
    return {
        key: st.booleans()
        for where, key in switches()
        if where == section and (where, key) != ALONE
    }


@st.composite
def _intakes(draw: st.DrawFn) -> dict[str, Any]:
    """Values of the intake that go together."""
    ordering = draw(st.sampled_from(["fifo", "standard"]))
    batch = draw(st.integers(1, 10 if ordering == "fifo" else 1000))
    window = draw(st.integers(1 if batch > 10 else 0, 300)) if ordering == "standard" else 0
    most = draw(st.integers(2, 1000))
    pollers = draw(st.just(0) | st.integers(2, 200))
    most_pollers = draw(st.integers(max(2, pollers), 2_000))
    calls = 10 * most_pollers if pollers else most
    return {
        "ordering": ordering,
        "architecture": draw(st.sampled_from(["arm64", "x86_64"])),
        "memory": draw(st.integers(1700, 10240)),
        "timeout": draw(st.integers(61, 900)),
        "batchSize": batch,
        "batchWindow": window,
        "maximumConcurrency": most,
        "minimumPollers": pollers,
        "maximumPollers": most_pollers,
        "reservedConcurrency": draw(st.just(0) | st.integers(calls, 100_000)),
        "maximumReceives": draw(st.integers(2, 100)),
        "logRetentionDays": draw(st.sampled_from(LOG_DAYS)),
    }


@st.composite
def _catalogs(draw: st.DrawFn) -> dict[str, Any]:
    reads, writes = (
        sorted(draw(st.tuples(st.integers(1, 40_000), st.integers(1, 40_000)))) for _ in range(2)
    )
    return {
        "capacity": draw(st.sampled_from(["on-demand", "provisioned"])),
        "minimumReads": reads[0],
        "maximumReads": reads[1],
        "minimumWrites": writes[0],
        "maximumWrites": writes[1],
        **draw(st.fixed_dictionaries(_switch("catalog"))),
    }


@st.composite
def _costs(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "monthlyBudget": draw(st.integers(0, 1000)),
        "anomalyDollars": draw(st.integers(0, 1000)),
        "anomalyMonitor": draw(st.sampled_from(["", MONITOR])),
        "dailyLimit": draw(st.integers(0, 1000)),
        "savingsPlanCents": draw(st.integers(0, 1000)),
        "email": "who@example.com",
        **draw(st.fixed_dictionaries(_switch("cost"))),
    }


_DAYS = st.integers(1, 3650)
_ADDRESS = st.sampled_from(["", "who@example.com"])
_AUDIENCE = st.lists(st.sampled_from([*AUDIENCES]), min_size=1, unique=True)


_TYPE = st.sampled_from(["asset.accepted", "asset.rejected", "asset.*", "job.*", "*"])
_ENDPOINT = st.fixed_dictionaries(
    {
        "url": st.sampled_from(["https://example.com/hook?a=b", "https://[2600:9000::1]:8443/"]),
        "events": st.lists(_TYPE, min_size=1, max_size=3, unique=True),
    }
)


def _fit(drawn: dict[str, Any]) -> dict[str, Any]:
    """What the console needs is on where it is on; a user pool stands in for all that it brings."""
    api, console = dict(drawn["api"]), dict(drawn["console"])
    if console["enabled"]:
        api["enabled"] = True
        drawn["delivery"]["enabled"] = True
    if drawn["cache"]["enabled"]:
        drawn["delivery"]["enabled"] = True
    if not (drawn["delivery"]["enabled"] and drawn["delivery"]["logs"]):
        drawn["delivery"]["upgradeCents"] = 0
    if not drawn["heavy"]["enabled"]:
        drawn["rekognition"] |= {"moderation": False, "labels": False}
    if console["userPool"]:
        console["clientId"] = ""
        if console["enabled"]:
            api |= {"issuer": "", "audience": ""}
    return {**drawn, "api": api, "console": console}


configs = st.fixed_dictionaries(
    {
        "registry": st.fixed_dictionaries(
            {"imagesKept": st.integers(2, 1000), **_switch("registry")}
        ),
        "storage": st.fixed_dictionaries(
            {
                "glacierAfterDays": _DAYS,
                "noncurrentDays": _DAYS,
                "renditionDays": st.integers(0, 3650),
                "supersededDays": _DAYS,
                "deletedOriginals": st.sampled_from(["keep", "erase"]),
                "quarantineDays": _DAYS,
                "accessLogDays": _DAYS,
                "browserOrigins": st.lists(
                    st.sampled_from(["*", "https://*.example.com", "http://localhost:3000"]),
                    unique=True,
                ),
                "replicateTo": st.sampled_from(["", REPLICA]),
                **_switch("storage"),
            }
        ),
        "catalog": _catalogs(),
        "events": st.fixed_dictionaries({"archiveDays": st.integers(0, 3_650)}),
        "intake": _intakes(),
        "heavy": st.fixed_dictionaries(
            {
                "architecture": st.sampled_from(["arm64", "x86_64"]),
                "zones": st.integers(1, 4),
                "baselineVcpus": st.integers(0, 100),
                "spotVcpus": st.integers(2, 10_000),
                "overflowVcpus": st.integers(0, 100),
                "scratchGib": st.integers(30, 16_384),
                "logRetentionDays": st.sampled_from(LOG_DAYS),
                "stuckMinutes": st.integers(10, 1440),
                "workflows": st.lists(st.sampled_from(["approve", "moderate"]), unique=True),
                **_switch("heavy"),
            }
        ),
        "api": st.fixed_dictionaries(
            {
                **{key: st.just(text) for key, text in SIGNED_IN.items()},
                "origins": st.lists(st.just("https://*.example.com"), max_size=1),
                "requestsPerSecond": st.integers(1, 10_000),
                "burst": st.integers(1, 5_000),
                "memory": st.integers(256, 10_240),
                "reservedConcurrency": st.integers(0, 100),
                "logRetentionDays": st.sampled_from(LOG_DAYS),
                **_switch("api"),
                "accelerated": st.just(False),
            }
        ),
        "webhooks": st.fixed_dictionaries(
            {
                "endpoints": st.dictionaries(
                    st.from_regex(NAME, fullmatch=True), _ENDPOINT, max_size=6
                ),
                "topic": st.lists(_TYPE, max_size=3),
                "maximumConcurrency": st.integers(2, 1000),
                "logRetentionDays": st.sampled_from(LOG_DAYS),
            }
        ),
        "delivery": st.fixed_dictionaries(
            {
                "audience": _AUDIENCE,
                "rateLimit": st.sampled_from([0, 10, 2_000_000_000]),
                "uploadKey": st.just(""),
                "origins": st.lists(st.just("https://*.example.com"), max_size=1),
                "logDays": _DAYS,
                "upgradeCents": st.integers(0, 1000),
                **_switch("delivery"),
                "domains": st.just([]),
                "certificate": st.just(""),
            }
        )
        | st.fixed_dictionaries(
            {
                "audience": _AUDIENCE,
                "rateLimit": st.integers(10, 10_000),
                "origins": st.just(["*"]),
                "logDays": _DAYS,
                "upgradeCents": st.integers(0, 1000),
                **_switch("delivery"),
                **{key: st.just(value) for key, value in OWN_DOMAIN.items()},
            }
        ),
        "cache": st.fixed_dictionaries(
            {
                "gigabytes": st.integers(1, 5_000),
                "ecpusPerSecond": st.integers(1_000, 15_000_000),
                **_switch("cache"),
            }
        ),
        "rekognition": st.fixed_dictionaries(
            {
                "rate": st.integers(1, 10_000),
                "moderation": st.booleans(),
                "labels": st.booleans(),
            }
        ),
        "console": st.fixed_dictionaries(
            {
                "clientId": st.just("console-of-the-tests"),
                "scope": st.sampled_from(["openid", "openid offline_access safelight:write"]),
                "audience": st.sampled_from(["", "https://api.example.com"]),
                "signInOrigins": st.lists(st.just("https://tokens.example.com"), max_size=1),
                **_switch("console"),
            }
        ),
        "observability": st.fixed_dictionaries(
            {
                "email": _ADDRESS,
                "waitingSeconds": st.integers(30, 86_400),
                "errorPercent": st.integers(0, 100),
                "tracePercent": st.floats(0.01, 100),
                "reclaimPercent": st.integers(1, 100),
                "runbooks": st.sampled_from(["", "https://ops.example.com/safelight/runbooks/"]),
                **_switch("observability"),
            }
        ),
        "cost": _costs(),
        "tags": st.dictionaries(st.text("abcdef", min_size=1), st.text("xyz"), max_size=3),
    }
).map(_fit)
"""Every key of every section but ``registry.only``."""
