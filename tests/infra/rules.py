"""What holds for every configuration that is accepted. One function a rule, all in ``RULES``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from stack.config import Config
from tests.infra.declared import Declaration, takes

AUTO_NAMING = len("-1234567")
NAME_LIMITS = {
    "apigatewayv2/Api": 128,
    "apigatewayv2/Authorizer": 128,
    "apigatewayv2/Stage": 128,
    "appautoscaling/Policy": 256,
    "batch/ComputeEnvironment": 128,
    "batch/JobDefinition": 128,
    "batch/JobQueue": 128,
    "batch/SchedulingPolicy": 128,
    "budgets/Budget": 100,
    "cloudfront/CachePolicy": 128,
    "cloudfront/Function": 64,
    "cloudfront/OriginAccessControl": 64,
    "cloudfront/OriginRequestPolicy": 128,
    "cloudfront/ResponseHeadersPolicy": 128,
    "cognito/ResourceServer": 256,
    "cognito/UserGroup": 128,
    "cognito/UserPool": 128,
    "cognito/UserPoolClient": 128,
    "cloudwatch/EventArchive": 48,
    "cloudwatch/EventBus": 256,
    "cloudwatch/EventRule": 64,
    "cloudwatch/LogGroup": 512,
    "cloudwatch/LogDeliveryDestination": 60,
    "cloudwatch/LogDeliverySource": 60,
    "cloudwatch/LogMetricFilter": 512,
    "cloudwatch/MetricAlarm": 255,
    "costexplorer/AnomalyMonitor": 1024,
    "costexplorer/AnomalySubscription": 1024,
    "dynamodb/Table": 255,
    "ec2/LaunchTemplate": 125,
    "ec2/SecurityGroup": 255,
    "ecr/Repository": 256,
    "elasticache/ServerlessCache": 40,
    "iam/InstanceProfile": 128,
    "iam/Role": 64,
    "iam/RolePolicy": 128,
    "lambda/Alias": 128,
    "lambda/Function": 64,
    "pipes/Pipe": 64,
    "s3/Bucket": 63,
    "serverlessrepository/CloudFormationStack": 128 - len("serverlessrepo-"),
    "sfn/StateMachine": 80,
    "sns/Topic": 256,
    "sqs/Queue": 80 - len(".fifo"),
    "wafv2/WebAcl": 128,
}
"""Longest names AWS takes (the services' API references)."""

_DELIVERY = "Delivery of logs is set up for an account, not for a log group."
_PLACED = "Lambda places a function in a network by its role; the function's code may not."
WITHOUT_RESOURCES = {
    "ec2:AssignPrivateIpAddresses": _PLACED,
    "ec2:CreateNetworkInterface": _PLACED,
    "ec2:DeleteNetworkInterface": _PLACED,
    "ec2:DescribeNetworkInterfaces": _PLACED,
    "ec2:DescribeSubnets": _PLACED,
    "ec2:UnassignPrivateIpAddresses": _PLACED,
    "batch:DescribeJobDefinitions": "Reads. Knows no resources.",
    "batch:DescribeJobQueues": "Reads. Knows no resources.",
    "batch:DescribeJobs": "Reads. Knows no resources.",
    "batch:ListJobs": "Reads. Knows no resources.",
    "dynamodb:ListStreams": "Reads names. Knows no resources.",
    "ecr:GetAuthorizationToken": "A password for a registry; what may be pulled is said beside it.",
    "ecs:DiscoverPollEndpoint": "Answers with an address. Knows no resources.",
    "logs:CreateLogDelivery": _DELIVERY,
    "logs:DeleteLogDelivery": _DELIVERY,
    "logs:DescribeLogGroups": _DELIVERY,
    "logs:DescribeResourcePolicies": _DELIVERY,
    "logs:GetLogDelivery": _DELIVERY,
    "logs:ListLogDeliveries": _DELIVERY,
    "logs:PutResourcePolicy": _DELIVERY,
    "logs:UpdateLogDelivery": _DELIVERY,
    "rekognition:DetectLabels": "Looks at bytes in the request. Knows no resources.",
    "rekognition:DetectModerationLabels": "As DetectLabels; of its own models it has none here.",
    "states:SendTaskSuccess": "The token names the execution. Knows no resources.",
    "xray:PutSpans": "Traces are of the account.",
    "xray:PutSpansForIndexing": "Traces are of the account.",
}
"""Actions that IAM grants for everything or nothing, and why that is no harm (Service
Authorization Reference)."""
NUMBERED = "arn:aws:batch:eu-central-1:123456789012:job/*"
"""Jobs, which have no names of ours."""
BATCH_RULE = "rule/StepFunctionsGetEventsForBatchJobsRule"
"""The one rule that Step Functions keeps for all."""


OTHERS_IN_BUCKETS = {
    "cloudfront.amazonaws.com": {"s3:GetObject", "s3:PutObject"},
    "delivery.logs.amazonaws.com": {"s3:PutObject"},
    "logging.s3.amazonaws.com": {"s3:PutObject"},
}
"""What services may do in buckets, by their policies."""
NOT_PUBLIC = dict.fromkeys(
    ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True
)
ABORTED = {
    "id": "abort-unfinished-uploads",
    "status": "Enabled",
    "filter": {"prefix": ""},
    "abortIncompleteMultipartUpload": {"daysAfterInitiation": 1},
}


def check(declared: Declaration, config: Config) -> None:
    """Every rule, on one declaration."""
    for rule in RULES:
        rule(declared, config)


def every_bucket_has_its_guards(declared: Declaration, _config: Config) -> None:
    """Nothing public, nothing in the clear, nothing that is never cleared up."""
    buckets = [one.name for one in declared.of("s3/Bucket")]
    for guard in (
        "s3/BucketPublicAccessBlock",
        "s3/BucketPolicy",
        "s3/BucketOwnershipControls",
        "s3/BucketServerSideEncryptionConfiguration",
        "s3/BucketLifecycleConfiguration",
    ):
        assert [one.name for one in declared.of(guard)] == buckets
    for block in declared.of("s3/BucketPublicAccessBlock"):
        assert {key: value for key, value in block.inputs.items() if key != "bucket"} == NOT_PUBLIC
    for owner in declared.of("s3/BucketOwnershipControls"):  # there are no ACLs
        assert owner.inputs["rule"] == {"objectOwnership": "BucketOwnerEnforced"}
    for encryption in declared.of("s3/BucketServerSideEncryptionConfiguration"):
        default = {"sseAlgorithm": "AES256"}  # said, not left to a default
        assert encryption.inputs["rules"] == [{"applyServerSideEncryptionByDefault": default}]
    for lifecycle in declared.of("s3/BucketLifecycleConfiguration"):
        assert ABORTED in lifecycle.inputs["rules"]  # parts that never became an upload are paid
    for policy in declared.of("s3/BucketPolicy"):
        # S3 refuses both at the same time.
        assert ("s3/BucketPublicAccessBlock", policy.name) in policy.waits_for
        tls, version, *others = policy.statements()
        assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert version["Condition"] == {"NumericLessThan": {"s3:TlsVersion": "1.2"}}
        arn = f"arn:aws:s3:{policy.inputs['bucket']}"
        for statement in (tls, version):
            assert statement["Effect"] == "Deny"
            assert (statement["Principal"], statement["Action"]) == ("*", "s3:*")
            assert statement["Resource"] == [arn, f"{arn}/*"]
        for statement in others:
            (service,) = statement["Principal"].values()
            assert statement["Action"] in OTHERS_IN_BUCKETS[service]
            assert statement["Resource"].startswith(f"{arn}/")
            if service == "cloudfront.amazonaws.com":
                condition = statement["Condition"]
                assert condition["StringEquals"]["aws:SourceArn"]  # ours, not any distribution
                # Renditions that nobody may read, and nothing else, are refused it.
                refuses = "s3:ExistingObjectTag/closed" in condition["StringEquals"]
                assert statement["Effect"] == ("Deny" if refuses else "Allow")
                # Uploads overwrite nothing, and come into the intake bucket alone.
                if statement["Action"] == "s3:PutObject":
                    assert policy.name == "intake"
                    assert condition.keys() & {"Null", "Bool"}


def every_queue_has_dead_letters_and_time(declared: Declaration, config: Config) -> None:
    """Six timeouts of every function it has to do with, and somewhere to go for what fails."""
    timeouts = {one.name: one.inputs["timeout"] for one in declared.of("lambda/Function")}
    queues = {one.name: one for one in declared.of("sqs/Queue")}
    longest: dict[str, int] = {}
    for queue, function in _readers(declared):
        longest[queue] = max(longest.get(queue, 0), timeouts[function])
    for name, one in queues.items():
        assert one.inputs["sqsManagedSseEnabled"] is True
        if name.endswith("-dead"):
            continue
        dead, policy = queues[f"{name}-dead"].inputs, one.document("redrivePolicy")
        assert policy["deadLetterTargetArn"].endswith(f"-{name}-dead")
        # An upload that fails again and again is the upload's fault; an invalidation only waits,
        # and an endpoint may be gone for a day.
        receives = 60 if name == "invalidations" else config.intake.maximum_receives
        receives = 12 if name.startswith("webhook-") else receives
        assert policy["maxReceiveCount"] == receives
        assert dead.get("fifoQueue") == one.inputs.get("fifoQueue")
        assert dead["messageRetentionSeconds"] > one.inputs["messageRetentionSeconds"]
        longest[f"{name}-dead"] = max(longest.get(f"{name}-dead", 0), longest[name])
    assert {*longest} == {*queues}
    for name, seconds in longest.items():
        assert queues[name].inputs["visibilityTimeoutSeconds"] >= 6 * seconds
    for mapping in declared.of("lambda/EventSourceMapping"):
        assert mapping.inputs["functionResponseTypes"] == ["ReportBatchItemFailures"]


def _readers(declared: Declaration) -> Iterator[tuple[str, str]]:
    """Queues and functions: that read them, that a pipe asks about them, that fail into them."""
    for mapping in declared.of("lambda/EventSourceMapping"):
        if mapping.name == "ledger":  # what it cannot read is a dead letter of the outbox
            continue
        failed = mapping.inputs.get("destinationConfig", {}).get("onFailure", {})
        source = failed.get("destinationArn", mapping.inputs["eventSourceArn"])
        yield _last(source), _last(mapping.inputs["functionName"])
    for pipe in declared.of("pipes/Pipe"):
        yield _last(pipe.inputs["source"]), _last(pipe.inputs["enrichment"])
    for unattended in declared.of("lambda/FunctionEventInvokeConfig"):
        if unattended.name == "upgrade":  # which the next day's call repeats
            continue
        target = unattended.inputs["destinationConfig"]["onFailure"]["destination"]
        yield _last(target), _last(unattended.inputs["functionName"])


def _last(arn: str) -> str:
    """What a mocked ARN names, without project and stack."""
    return arn.partition("safelight-")[2].partition("-")[2]


def no_right_is_wider_than_its_name(declared: Declaration, config: Config) -> None:
    """A * in a resource stands where no name is known, or behind a name of this stack."""
    ours = f"safelight-{config.stack}-"
    known = {f"{config.storage.replicate_to}/*", *_repositories(config)}
    for policy in declared.of("iam/RolePolicy"):
        for statement in policy.statements():
            actions = set(statement["Action"])
            assert all("*" not in action for action in actions)
            for resource in statement["Resource"]:
                if resource == "*":
                    assert actions <= {*WITHOUT_RESOURCES}
                elif resource == NUMBERED:
                    assert actions <= {"batch:SubmitJob", "batch:TerminateJob"}
                elif resource in known or resource.endswith(BATCH_RULE):
                    assert actions
                else:
                    assert ours in resource
                    _only_known_stars(resource, actions)


def _repositories(config: Config) -> set[str]:
    return (
        {"arn:aws:ecr:eu-central-1:123456789012:repository/safelight-batch"}
        if (config.heavy.enabled)
        else set()
    )


def _only_known_stars(resource: str, actions: set[str]) -> None:
    """Objects of a bucket and streams of a log group have names of their own; clusters have
    names around ours."""
    if all(action.startswith("ecs:") for action in actions):
        assert resource.count("*") == 2
    else:
        assert "*" not in resource.removesuffix("/*").removesuffix(":*")


def nobody_is_let_in_unnamed(declared: Declaration, _config: Config) -> None:
    """Policies of resources allow services only, each for one source or one account."""
    texts = [
        *((one, "policy") for kind in _WITH_POLICY for one in declared.of(kind)),
        *((one, "policyDocument") for one in declared.of("cloudwatch/LogResourcePolicy")),
    ]
    for one, key in texts:
        for statement in one.statements(key):
            if statement["Effect"] == "Deny":
                continue
            assert {*statement["Principal"]} == {"Service"}
            # EventBridge makes a stream in our own group before it says for which rule.
            if statement["Action"] != "logs:CreateLogStream":
                assert statement["Condition"]


_WITH_POLICY = ("sqs/QueuePolicy", "sns/TopicPolicy", "ecr/RepositoryPolicy", "s3/BucketPolicy")


def no_log_is_kept_for_ever(declared: Declaration, config: Config) -> None:
    """And no function writes into a group of its own making."""
    groups = {one.name: one.inputs["retentionInDays"] for one in declared.of("cloudwatch/LogGroup")}
    assert {one.name for one in declared.of("lambda/Function")} <= {*groups}
    allowed = {
        config.intake.log_retention_days,
        config.heavy.log_retention_days,
        config.api.log_retention_days,
        config.webhooks.log_retention_days,
    }
    assert {*groups.values()} <= allowed
    for counted in declared.of("cloudwatch/LogMetricFilter"):
        assert len(counted.inputs["pattern"]) <= 1024


def batch_takes_every_queue(declared: Declaration, _config: Config) -> None:
    """At most three environments a queue, in one order; few rules and tries a definition."""
    for queue in declared.of("batch/JobQueue"):
        orders = queue.inputs["computeEnvironmentOrders"]
        assert 1 <= len(orders) <= 3
        assert [one["order"] for one in orders] == list(range(1, len(orders) + 1))
        for action in queue.inputs["jobStateTimeLimitActions"]:
            assert 600 <= action["maxTimeSeconds"] <= 86_400
    for definition in declared.of("batch/JobDefinition"):
        assert len(definition.inputs["retryStrategy"]["evaluateOnExits"]) <= 5
        assert 1 <= definition.inputs["retryStrategy"]["attempts"] <= 10
        assert definition.inputs["timeout"]["attemptDurationSeconds"] >= 60


def no_way_in_and_few_out(declared: Declaration, config: Config) -> None:
    """No address of elsewhere is let in; out it is TLS, in a private network to named places. What
    stands beside the cache reaches no address of elsewhere at all."""
    for group in declared.of("ec2/SecurityGroup"):
        for rule in group.inputs["ingress"]:
            assert not rule.get("cidrBlocks")
            assert rule["securityGroups"]
        for rule in group.inputs["egress"]:
            ports = {443, 6379} if group.name == "cache-clients" else {443}
            assert rule["fromPort"] == rule["toPort"] in ports
            assert rule["protocol"] == "tcp"
            anywhere = "0.0.0.0/0" in rule.get("cidrBlocks", [])
            machines = group.name.startswith("heavy")
            assert anywhere is (machines and not config.heavy.private_network)
    for group in declared.of("ec2/DefaultSecurityGroup"):
        assert group.inputs["ingress"] == group.inputs["egress"] == []
    assert len(declared.of("ec2/DefaultSecurityGroup")) == len(declared.of("ec2/Vpc"))
    for template in declared.of("ec2/LaunchTemplate"):
        assert template.inputs["metadataOptions"]["httpTokens"] == "required"
        (disk,) = template.inputs["blockDeviceMappings"]
        assert disk["ebs"]["encrypted"] == "true"


def the_cache_is_bounded_and_alone(declared: Declaration, config: Config) -> None:
    """Limits on data and work, a user by IAM, no way to it but from the function; and only then
    does a function stand in a network."""
    caches = declared.of("elasticache/ServerlessCache")
    assert len(caches) == (1 if config.cache.enabled else 0)
    placed = [one.name for one in declared.of("lambda/Function") if "vpcConfig" in one.inputs]
    assert placed == ["deliver"] * len(caches)
    for cache in caches:
        limits = cache.inputs["cacheUsageLimits"]
        assert limits["dataStorage"] == {"maximum": config.cache.gigabytes, "unit": "GB"}
        assert limits["ecpuPerSeconds"] == [{"maximum": config.cache.ecpus_per_second}]
        assert len(cache.inputs["subnetIds"]) >= 2
        assert cache.inputs["userGroupId"]
    for user in declared.of("elasticache/User"):
        assert user.inputs["authenticationMode"] == {"type": "iam"}
        assert user.inputs["userId"] == user.inputs["userName"]
        assert "+@all" not in user.inputs["accessString"]
    for route in declared.of("ec2/Route"):
        assert route.name == "heavy"


def functions_stay_within_limits(declared: Declaration, config: Config) -> None:
    """Lambda's own, and the rights are there before the function is."""
    for function in declared.of("lambda/Function"):
        assert 128 <= function.inputs["memorySize"] <= 10240
        assert 1 <= function.inputs["timeout"] <= 900
        assert "tracingConfig" not in function.inputs  # a second tracer beside ours
        assert ("iam/RolePolicy", function.name) in function.waits_for
        rights = declared.one("iam/RolePolicy", function.name).statements()
        may = any("xray:PutSpans" in one["Action"] for one in rights)
        ours = "imageUri" in function.inputs and "vpcConfig" not in function.inputs
        assert may is (ours and config.tracing > 0)
        environment = function.inputs.get("environment", {})
        if environment != "[secret]":  # as a whole, where the key of uploads is in it
            variables = environment.get("variables", {})
            percent = f"{config.tracing:g}" if may else None
            assert variables.get("SAFELIGHT_TRACE_TO") == ("xray" if may else None)
            assert variables.get("SAFELIGHT_TRACE_PERCENT") == percent
    standard = {
        f"arn:aws:sqs:safelight-{config.stack}-{one.name}"
        for one in declared.of("sqs/Queue")
        if not one.inputs.get("fifoQueue")
    }
    for unattended in declared.of("lambda/FunctionEventInvokeConfig"):
        if unattended.name == "upgrade":
            continue
        target = unattended.inputs["destinationConfig"]["onFailure"]["destination"]
        assert target in standard
        assert {"Effect": "Allow", "Action": ["sqs:SendMessage"], "Resource": [target]} in (
            declared.one("iam/RolePolicy", unattended.name).statements()
        )
        assert ("iam/RolePolicy", unattended.name) in unattended.waits_for


def no_name_is_too_long(declared: Declaration, config: Config) -> None:
    """Of whatever has a name; where Pulumi makes it, with what it appends."""
    for one in declared.resources:
        if not (takes(one, "name") or one.kind == "s3/Bucket"):
            continue
        # The provider appends 26 characters to a prefix.
        made = f"safelight-{config.stack}-{one.name}" + AUTO_NAMING * "-"
        prefixed = one.inputs.get("namePrefix", "") + 26 * "-"
        name = one.inputs.get("name", made if "namePrefix" not in one.inputs else prefixed)
        assert len(name) <= NAME_LIMITS[one.kind]


def everything_has_tags(declared: Declaration, config: Config) -> None:
    """Whatever can have them: else its cost is nobody's."""
    for one in declared.resources:
        # An object has ten tags at most, and each is paid for.
        if takes(one, "tags") and one.kind != "s3/BucketObject":
            found = one.inputs["tags"]
            assert {"Project", "Stack", "Component"} <= {*found}
            assert config.tags.items() <= found.items()
        if one.kind == "batch/ComputeEnvironment":
            assert one.inputs["computeResources"]["tags"]["Stack"] == config.stack


def order_is_said_where_it_counts(declared: Declaration, config: Config) -> None:
    """AWS tries these when they are made."""
    waits: Mapping[tuple[str, str], tuple[str, str]] = {
        ("s3/BucketNotification", "intake"): ("sqs/QueuePolicy", "uploads"),
        ("lambda/EventSourceMapping", "ingest"): ("iam/RolePolicy", "ingest"),
        ("lambda/EventSourceMapping", "outbox"): ("iam/RolePolicy", "outbox"),
        ("lambda/EventSourceMapping", "ledger"): ("iam/RolePolicy", "ledger"),
        ("s3/BucketLifecycleConfiguration", "intake"): ("s3/BucketVersioning", "intake"),
        ("pipes/Pipe", "order"): ("iam/RolePolicy", "order-pipe"),
        ("sfn/StateMachine", "heavy"): ("iam/RolePolicy", "heavy"),
        ("iam/InstanceProfile", "machine"): ("iam/RolePolicy", "machine"),
        ("cloudwatch/EventTarget", "heavy"): ("lambda/Permission", "heavy"),
        ("cloudwatch/EventTarget", "stuck"): ("sns/TopicPolicy", "alarms"),
        ("cloudwatch/EventTarget", "job-states"): ("cloudwatch/LogResourcePolicy", "job-states"),
        ("cloudwatch/LogDelivery", "delivery-logs"): ("s3/BucketPolicy", "delivery-logs"),
        ("s3/BucketLogging", "intake"): ("s3/BucketPolicy", "access-logs"),
        ("s3/BucketReplicationConfig", "intake"): ("s3/BucketVersioning", "intake"),
    }
    for one in declared.resources:
        if (wanted := waits.get((one.kind, one.name))) is not None:
            assert wanted in one.waits_for, f"{one.kind} {one.name} does not wait for {wanted}"
    if config.observability.enabled:
        for one in (
            *declared.of("budgets/Budget"),
            *declared.of("costexplorer/AnomalySubscription"),
        ):
            assert ("sns/TopicPolicy", "alarms") in one.waits_for


def renditions_are_read_through_the_distribution_alone(
    declared: Declaration, config: Config
) -> None:
    """Signed by it, over TLS, without code that flat-rate plans exclude."""
    found = declared.of("cloudfront/Distribution")
    assert len(found) == (1 if config.delivery.enabled else 0)
    readers = [
        (policy.name, statement["Condition"])
        for policy in declared.of("s3/BucketPolicy")
        for statement in policy.statements()
        if statement["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    ]
    for one in found:
        arn = f"arn:aws:cloudfront:safelight-{config.stack}-{one.name}"
        assert ("delivery", {"StringEquals": {"aws:SourceArn": arn}}) in readers
        assert all(condition["StringEquals"]["aws:SourceArn"] == arn for _, condition in readers)
        for origin in one.inputs["origins"]:
            assert origin["originAccessControlId"]
        behaviours = [one.inputs["defaultCacheBehavior"], *one.inputs["orderedCacheBehaviors"]]
        for behaviour in behaviours:
            assert behaviour["viewerProtocolPolicy"] in {"redirect-to-https", "https-only"}
            assert "lambdaFunctionAssociations" not in behaviour
            if behaviour["targetOriginId"] != "uploads":  # S3 answers those, with the bucket's CORS
                assert behaviour["responseHeadersPolicyId"]
    if not found:
        assert not readers
    for signer in declared.of("cloudfront/OriginAccessControl"):
        assert signer.inputs["signingBehavior"] == "always"


def everything_belongs_to_a_component(declared: Declaration, _config: Config) -> None:
    """No resource hangs on the stack, and nothing is declared twice under one name."""
    for one in declared.resources:
        if not one.kind.startswith("safelight:"):
            assert one.parent.startswith("safelight:"), one.kind
    identities = [(one.kind, one.name) for one in declared.resources]
    assert len({*identities}) == len(identities)


Rule = Callable[[Declaration, Config], None]
RULES: tuple[Rule, ...] = (
    every_bucket_has_its_guards,
    every_queue_has_dead_letters_and_time,
    no_right_is_wider_than_its_name,
    nobody_is_let_in_unnamed,
    no_log_is_kept_for_ever,
    batch_takes_every_queue,
    no_way_in_and_few_out,
    the_cache_is_bounded_and_alone,
    functions_stay_within_limits,
    no_name_is_too_long,
    everything_has_tags,
    order_is_said_where_it_counts,
    renditions_are_read_through_the_distribution_alone,
    everything_belongs_to_a_component,
)
