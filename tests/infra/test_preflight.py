"""``safelight infra preflight``: what an account has is compared with what a stack may use.

The answers are those of AWS's own service models: botocore refuses one that is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from tests.infra.configs import SIGNED_IN, switched
from tests.infra.declared import Declaration, declare
from tests.servers import serving
from worker.adapters.aws import quotas
from worker.adapters.aws.quotas import Account
from worker.entrypoints.cli import run
from worker.infra import preflight, program
from worker.infra.preflight import AccountFinding, State

REGION = "eu-central-1"
DEFAULTS = {
    "L-34B43A08": 5.0,
    "L-1216C47A": 5.0,
    "L-8A5B8E43": 10_000.0,
    "L-24B04930": 200.0,
    "L-7D134442": 20.0,
    "L-CF0D4FC5": 20.0,
}
"""Of a new account."""


@dataclass
class Stubs:
    """Clients that answer from a list, and fail at any other call."""

    functions: Stubber
    quotas: Stubber
    global_quotas: Stubber
    edge: Stubber

    @property
    def account(self) -> Account:
        """What is looked at."""
        return Account(
            region=REGION,
            functions=self.functions.client,
            quotas=self.quotas.client,
            global_quotas=self.global_quotas.client,
            edge=self.edge.client,
        )

    def quota(self, code: str, value: float, *, service: str, everywhere: bool = False) -> None:
        """Answer with an applied quota."""
        stub = self.global_quotas if everywhere else self.quotas
        asked = {"ServiceCode": service, "QuotaCode": code}
        stub.add_response("get_service_quota", {"Quota": {"Value": value}}, asked)

    def distributions(self, *comments: str) -> None:
        """Answer with distributions."""
        items = [_distribution(comment) for comment in comments]
        page = {
            "Marker": "",
            "MaxItems": 100,
            "IsTruncated": False,
            "Quantity": len(items),
            "Items": items,
        }
        self.edge.add_response("list_distributions", {"DistributionList": page})

    def policies(self, kind: str, *names: str) -> None:
        """Answer with policies of our own, of a kind: ``cache`` or ``response_headers``."""
        title = kind.title().replace("_", "") + "Policy"
        config: dict[str, Any] = {} if kind == "response_headers" else {"MinTTL": 0}
        items = [
            {
                "Type": "custom",
                title: {
                    "Id": name,
                    "LastModifiedTime": "2026-11-29T00:00:00Z",
                    f"{title}Config": {"Name": name, **config},
                },
            }
            for name in names
        ]
        page = {"MaxItems": 100, "Quantity": len(items), "Items": items}
        self.edge.add_response(f"list_{kind}_policies", {f"{title}List": page}, {"Type": "custom"})

    def concurrency(self, limit: int) -> None:
        """Answer with how many functions may run."""
        limits = {"ConcurrentExecutions": limit, "UnreservedConcurrentExecutions": limit}
        self.functions.add_response("get_account_settings", {"AccountLimit": limits})

    def ample(self, *, functions: int = 10_000) -> None:
        """Answer every question of a stack with API and distribution, in the order it is asked."""
        self.concurrency(functions)
        for code in ("L-34B43A08", "L-1216C47A"):
            self.quota(code, 10_000, service="ec2")
        self.quota("L-8A5B8E43", 10_000, service="apigateway")
        for code in ("L-24B04930", "L-7D134442", "L-CF0D4FC5"):
            self.quota(code, 200, service="cloudfront", everywhere=True)
        self.distributions()
        self.policies("cache")
        self.policies("response_headers")

    def done(self) -> None:
        """Everything that was to be asked was asked."""
        for stub in (self.functions, self.quotas, self.global_quotas, self.edge):
            stub.assert_no_pending_responses()


def _distribution(comment: str) -> dict[str, Any]:
    behaviour = {"TargetOriginId": "one", "ViewerProtocolPolicy": "https-only"}
    return {
        "Id": "E1",
        "ARN": "arn:aws:cloudfront::123456789012:distribution/E1",
        "Status": "Deployed",
        "LastModifiedTime": "2026-11-29T00:00:00Z",
        "DomainName": "d1.cloudfront.net",
        "Aliases": {"Quantity": 0},
        "Origins": {"Quantity": 1, "Items": [{"Id": "one", "DomainName": "b.s3.amazonaws.com"}]},
        "DefaultCacheBehavior": behaviour,
        "CacheBehaviors": {"Quantity": 0},
        "CustomErrorResponses": {"Quantity": 0},
        "Comment": comment,
        "PriceClass": "PriceClass_100",
        "Enabled": True,
        "ViewerCertificate": {},
        "Restrictions": {"GeoRestriction": {"RestrictionType": "none", "Quantity": 0}},
        "WebACLId": "",
        "HttpVersion": "http2and3",
        "IsIPV6Enabled": True,
        "Staging": False,
    }


@pytest.fixture
def stubs() -> Iterator[Stubs]:
    """Clients of real models, with no answers yet."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}

    def stubbed(service: str, region: str = REGION) -> Stubber:
        return Stubber(boto3.client(service, region_name=region, **keys))  # type: ignore[call-overload]

    made = Stubs(
        functions=stubbed("lambda"),
        quotas=stubbed("service-quotas"),
        global_quotas=stubbed("service-quotas", "us-east-1"),
        edge=stubbed("cloudfront", "us-east-1"),
    )
    with ExitStack() as opened:
        for stub in (made.functions, made.quotas, made.global_quotas, made.edge):
            opened.enter_context(stub)
        yield made


@pytest.fixture(scope="module")
def stack() -> Declaration:
    """A stack with API, distribution, console and machines of all kinds."""
    heavy = {"spotVcpus": 64, "overflowVcpus": 32, "baselineVcpus": 8}
    return declare(
        {
            "api": {"enabled": True, **SIGNED_IN},
            "console": {"enabled": True, "clientId": "console"},
            "heavy": heavy,
        }
    )


def found_for(found: list[AccountFinding]) -> dict[str, AccountFinding]:
    """By what they are about."""
    return {one.what: one for one in found}


def test_a_stack_is_read_as_it_is_declared(stack: Declaration) -> None:
    """Each number is one of the configuration, or a count of resources."""
    wanted = {one.quota: (one.needed, one.least) for one in preflight.demands(stack)}

    assert wanted == {
        quotas.CONCURRENCY: (107, 0),
        quotas.SPOT: (64, 8),
        quotas.ON_DEMAND: (40, 8),
        quotas.REQUESTS: (500, 0),
        quotas.DISTRIBUTIONS: (1, 1),
        quotas.CACHE_POLICIES: (1, 1),
        quotas.HEADERS_POLICIES: (2, 2),
    }


def test_a_bare_stack_needs_functions_alone(bare: Declaration) -> None:
    """Disabled components need no quota."""
    (one,) = preflight.demands(bare)

    assert one.quota is quotas.CONCURRENCY


def test_a_new_account_is_too_small(stack: Declaration, stubs: Stubs) -> None:
    """Each with the numbers, what happens, and a command that asks for more; nothing is wrong."""
    stubs.concurrency(10)
    for code, service in (
        ("L-34B43A08", "ec2"),
        ("L-1216C47A", "ec2"),
        ("L-8A5B8E43", "apigateway"),
    ):
        asked = {"ServiceCode": service, "QuotaCode": code}
        stubs.quotas.add_client_error(
            "get_service_quota", "NoSuchResourceException", expected_params=asked
        )
        stubs.quotas.add_response(
            "get_aws_default_service_quota", {"Quota": {"Value": DEFAULTS[code]}}, asked
        )
    for code in ("L-24B04930", "L-7D134442", "L-CF0D4FC5"):
        stubs.quota(code, DEFAULTS[code], service="cloudfront", everywhere=True)
    stubs.distributions()
    stubs.policies("cache")
    stubs.policies("response_headers")

    found = found_for(preflight.check(preflight.demands(stack), stubs.account, stack="test"))

    stubs.done()
    states = {what: one.state for what, one in found.items()}
    assert states == {
        "lambda/L-B99A9384": State.SMALL,
        "ec2/L-34B43A08": State.SMALL,
        "ec2/L-1216C47A": State.SMALL,
        "apigateway/L-8A5B8E43": State.FINE,
        "cloudfront/L-24B04930": State.FINE,
        "cloudfront/L-7D134442": State.FINE,
        "cloudfront/L-CF0D4FC5": State.FINE,
    }
    concurrency = found["lambda/L-B99A9384"]
    assert concurrency.message == (
        "The account may have 10 functions that run at the same time in eu-central-1; this stack"
        " may use 107 (intake.maximumConcurrency, intake.maximumPollers,"
        " intake.reservedConcurrency, api.reservedConcurrency). Uploads wait in the queue, and"
        " requests of the API may be refused meanwhile."
    )
    assert concurrency.command == (
        "aws service-quotas request-service-quota-increase --region eu-central-1"
        " --service-code lambda --quota-code L-B99A9384 --desired-value 107"
    )
    assert "Jobs that need 8 processors never start there." in found["ec2/L-34B43A08"].message


def test_a_reservation_that_lambda_refuses_is_wrong(stubs: Stubs) -> None:
    """It keeps a hundred for functions without one; the deployment would end half-way."""
    declared = declare({"intake": {"reservedConcurrency": 950}, "heavy": {"enabled": False}})
    (demand, *_) = preflight.demands(declared)
    stubs.concurrency(1_000)

    (found,) = preflight.check([demand], stubs.account, stack="test")

    assert (demand.needed, demand.least) == (1_057, 1_050)
    assert found.state is State.WRONG
    assert "Lambda must keep 100 for the others" in found.message


def test_what_the_stack_has_already_does_not_count(stack: Declaration, stubs: Stubs) -> None:
    """A second deployment needs nothing new; what others have counts, another stack of ours too."""
    demands = [one for one in preflight.demands(stack) if one.quota.service == "cloudfront"]
    for code in ("L-24B04930", "L-7D134442", "L-CF0D4FC5"):
        stubs.quota(code, 3, service="cloudfront", everywhere=True)
    stubs.distributions("Renditions of safelight-test", "Renditions of safelight-test-2", "else")
    stubs.policies("cache", "safelight-test-delivery-1a2b3c4", "others")
    stubs.policies("response_headers", "one", "two", "safelight-tests-delivery-1a2b3c4")

    found = found_for(preflight.check(demands, stubs.account, stack="test"))

    stubs.done()
    assert {what: (one.state, one.taken) for what, one in found.items()} == {
        "cloudfront/L-24B04930": (State.FINE, 2),
        "cloudfront/L-7D134442": (State.FINE, 1),
        "cloudfront/L-CF0D4FC5": (State.WRONG, 3),
    }
    headers = found["cloudfront/L-CF0D4FC5"]
    assert headers.command is not None
    assert headers.command.endswith("L-CF0D4FC5 --desired-value 5")
    assert "--region us-east-1" in headers.command
    assert "of which others have 3;" in headers.message


def test_a_long_list_is_read_to_its_end(stack: Declaration, stubs: Stubs) -> None:
    """Page after page."""
    demands = [one for one in preflight.demands(stack) if one.quota is quotas.DISTRIBUTIONS]
    stubs.quota("L-24B04930", 200, service="cloudfront", everywhere=True)
    page = {"Marker": "", "MaxItems": 1, "IsTruncated": True, "Quantity": 1}
    first = {**page, "NextMarker": "more", "Items": [_distribution("a")]}
    stubs.edge.add_response("list_distributions", {"DistributionList": first}, {})
    last = {**page, "IsTruncated": False, "Items": [_distribution("b")]}
    stubs.edge.add_response("list_distributions", {"DistributionList": last}, {"Marker": "more"})

    (found,) = preflight.check(demands, stubs.account, stack="test")

    stubs.done()
    assert found.taken == 2


def test_what_may_not_be_asked_is_said_and_holds_nothing_up(
    stack: Declaration, stubs: Stubs
) -> None:
    """Each call that is not allowed by its name; the others are asked all the same."""
    denied = "User: arn:aws:iam::123456789012:user/dev is not authorized"
    code = "AccessDeniedException"
    stubs.functions.add_client_error("get_account_settings", code, denied, 403)
    for _ in range(3):
        stubs.quotas.add_client_error("get_service_quota", code, denied, 403)
    for quota in ("L-24B04930", "L-7D134442", "L-CF0D4FC5"):
        stubs.quota(quota, 20, service="cloudfront", everywhere=True)
    stubs.edge.add_client_error("list_distributions", "AccessDenied", denied, 403)
    stubs.policies("cache")
    stubs.edge.add_client_error("list_response_headers_policies", "AccessDenied", denied, 403)

    found = preflight.check(preflight.demands(stack), stubs.account, stack="test")

    stubs.done()
    unknown = [one.message for one in found if one.state is State.UNKNOWN]
    assert len(unknown) == 6
    for call in (
        "lambda:GetAccountSettings",
        "servicequotas:GetServiceQuota",
        "cloudfront:ListDistributions",
        "cloudfront:ListResponseHeadersPolicies",
    ):
        assert any(call in message and "not authorized" in message for message in unknown)
    assert [one.state for one in found if one.what.endswith("L-7D134442")] == [State.FINE]


# --- who signs people in ----------------------------------------------------------------------


def says(**document: Any) -> type[BaseHTTPRequestHandler]:
    """A provider that says this of itself; ``{url}`` is its own address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here = f"http://{self.headers['host']}"
            text = json.dumps(document).replace("{url}", here)
            found = self.path == "/.well-known/openid-configuration"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(text.encode() if found else b"")

        def log_message(self, *_: object) -> None:
            pass

    return Handler


ANSWERS = {"issuer": "{url}", "token_endpoint": "{url}/token"}


@pytest.mark.parametrize(
    ("document", "console", "state", "said"),
    [
        (ANSWERS, True, State.FINE, "answers, and its document names this issuer"),
        ({**ANSWERS, "code_challenge_methods_supported": ["S256"]}, True, State.FINE, "answers"),
        ({**ANSWERS, "issuer": "{url}/"}, True, State.WRONG, "no token will name"),
        ({**ANSWERS, "issuer": "https://else.example"}, False, State.WRONG, "else.example"),
        (
            {**ANSWERS, "token_endpoint": "https://tokens.example/t"},
            True,
            State.WRONG,
            "https://tokens.example, where http",
        ),
        ({**ANSWERS, "token_endpoint": "https://tokens.example/t"}, False, State.FINE, "answers"),
        ({**ANSWERS, "token_endpoint": "https://[t"}, True, State.WRONG, "https://[t, where"),
        ({**ANSWERS, "token_endpoint": ["t"]}, True, State.WRONG, "['t'], where"),
        (
            {**ANSWERS, "code_challenge_methods_supported": ["plain"]},
            True,
            State.WRONG,
            "does not support PKCE",
        ),
    ],
)
def test_a_provider_is_who_it_should_be(
    document: dict[str, Any], console: bool, state: State, said: str
) -> None:
    """By its own document; where its tokens come from matters to the console alone."""
    with serving(says(**document)) as url:
        found = preflight.check_provider(url, frozenset({"'self'", url}) if console else None)

    assert found.state is state
    assert said in found.message


def test_a_provider_that_cannot_be_asked_is_unknown() -> None:
    """It may be known to AWS all the same."""
    with serving(says()) as url:
        pass
    with serving(says()) as other:
        nothing = preflight.check_provider(f"{other}/realms/none", None)

    assert preflight.check_provider(url, None).state is State.UNKNOWN
    assert nothing.state is State.UNKNOWN


def test_the_console_may_ask_what_its_policy_names(chosen: Declaration) -> None:
    """The preflight reads the policy that is deployed, and who is believed."""
    origins = preflight.origins_of(chosen)

    assert origins is not None
    assert {SIGNED_IN["issuer"], "https://tokens.example.com"} <= origins
    assert preflight.issuer_of(chosen) == SIGNED_IN["issuer"]
    assert preflight.issuer_of(declare(switched(on=True))) is None  # a pool that is yet to be made
    assert preflight.origins_of(declare({"delivery": {"enabled": False}})) is None


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A stack's file."""
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text(
        "config:\n  aws:region: eu-central-1\n  aws:profile: there\n"
        "  safelight:heavy: {overflowVcpus: 8}\n"
        "  safelight:api: {enabled: true, issuer: 'https://sign-in.invalid', audience: a}\n"
    )
    return path


def test_the_command_says_what_is_wrong_first(
    config: Path,
    stubs: Stubs,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For people and as JSON, with an exit code for scripts; the stack's own profile is asked."""
    asked: list[tuple[str | None, str]] = []

    def account(region: str | None, profile: str) -> Account:
        asked.append((region, profile))
        return stubs.account

    monkeypatch.setattr(preflight, "account", account)
    monkeypatch.setattr(program, "declare", lambda stack, values, region: declare(values))
    wrong = AccountFinding(what="sign-in", state=State.WRONG, message="It is somebody else.")
    monkeypatch.setattr(preflight, "check_provider", lambda issuer, origins: wrong)
    for _ in range(2):
        stubs.ample(functions=10)
    command = ["infra", "preflight", "--stack", "test", "--config", str(config)]

    assert run(command) == 1
    lines = capsys.readouterr().out.splitlines()
    assert run([*command, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)

    stubs.done()
    assert asked == [("eu-central-1", "there")] * 2
    assert lines[0] == "wrong: It is somebody else."
    assert lines[1].startswith("too small: The account may have 10 functions")
    assert lines[2].startswith("    aws service-quotas request-service-quota-increase")
    assert all(line.startswith("fine: ") for line in lines[3:])
    by_name = {one["what"]: one for one in found}
    assert by_name["lambda/L-B99A9384"]["limit"] == 10
    assert by_name["ec2/L-34B43A08"]["state"] == "fine"
    assert by_name["sign-in"]["message"] == "It is somebody else."


def test_without_credentials_the_command_says_so(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a sentence, and not in a traceback."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config.parent / "none"))
    monkeypatch.setattr(program, "declare", lambda stack, values, region: declare(values))

    assert run(["infra", "preflight", "--stack", "test", "--config", str(config)]) == 2
    assert "there" in capsys.readouterr().err
