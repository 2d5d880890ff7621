"""What the embedded AWS cannot hold: registered with an identity, created nowhere. Each with why.

A resource that is only registered is tested as it is declared (tests/infra), not by its effect.
"""

from __future__ import annotations

from worker.local.deploy.kinds.kind import Aws, Created, Declared, Kind


def _registered(service: str, path: str, reason: str, *inputs: str) -> Kind:
    """A type whose ARNs are ``arn:aws:SERVICE:...:PATH``, with the name in place of ``{}``."""

    def create(aws: Aws, declared: Declared) -> Created:
        name = declared.physical_name
        arn = aws.arn(service, path.format(name))
        return name, {"name": name, "arn": arn}

    return Kind(create, frozenset({*inputs, "name", "tags"}), reason)


_NO_SERVICE = "the embedded AWS has no {}"

KINDS = {
    "aws:pipes/pipe:Pipe": _registered(
        "pipes",
        "pipe/{}",
        "the embedded AWS keeps neither the enrichment nor the parameters of a pipe and moves"
        " nothing; the local stack runs it",
        "description",
        "enrichment",
        "logConfiguration",
        "roleArn",
        "source",
        "sourceParameters",
        "target",
        "targetParameters",
    ),
    "aws:batch/schedulingPolicy:SchedulingPolicy": _registered(
        "batch",
        "scheduling-policy/{}",
        _NO_SERVICE.format("scheduling policies in its Batch"),
        "fairSharePolicy",
    ),
    "aws:appautoscaling/target:Target": _registered(
        "application-autoscaling",
        "scalable-target/{}",
        _NO_SERVICE.format("Application Auto Scaling"),
        "maxCapacity",
        "minCapacity",
        "resourceId",
        "roleArn",
        "scalableDimension",
        "serviceNamespace",
    ),
    "aws:appautoscaling/policy:Policy": _registered(
        "autoscaling",
        "scalingPolicy:{}",
        _NO_SERVICE.format("Application Auto Scaling"),
        "policyType",
        "resourceId",
        "scalableDimension",
        "serviceNamespace",
        "stepScalingPolicyConfiguration",
        "targetTrackingScalingPolicyConfiguration",
    ),
    "aws:costexplorer/anomalyMonitor:AnomalyMonitor": _registered(
        "ce",
        "anomalymonitor/{}",
        _NO_SERVICE.format("Cost Explorer"),
        "monitorDimension",
        "monitorSpecification",
        "monitorType",
    ),
    "aws:costexplorer/anomalySubscription:AnomalySubscription": _registered(
        "ce",
        "anomalysubscription/{}",
        _NO_SERVICE.format("Cost Explorer"),
        "frequency",
        "monitorArnLists",
        "subscribers",
        "thresholdExpression",
    ),
    "aws:costexplorer/costAllocationTag:CostAllocationTag": _registered(
        "ce",
        "costallocationtag/{}",
        _NO_SERVICE.format("Cost Explorer"),
        "status",
        "tagKey",
    ),
    "aws:serverlessrepository/cloudFormationStack:CloudFormationStack": _registered(
        "cloudformation",
        "stack/{}",
        _NO_SERVICE.format("application repository to take applications from"),
        "applicationId",
        "capabilities",
        "parameters",
        "semanticVersion",
    ),
    "aws:savingsplans/savingsPlan:SavingsPlan": _registered(
        "savingsplans",
        "savingsplan/{}",
        _NO_SERVICE.format("savings plans: nothing costs anything here"),
        "commitment",
        "purchaseTime",
        "savingsPlanOfferingId",
        "upfrontPaymentAmount",
    ),
}
