"""What AWS's provider for Pulumi and AWS itself demand of resources: names, replacements, order.

Only what the program declares is here; a type that is missing fails the tests that run over the
whole program. The sources were read on 2026-11-30:

- ``REPLACES``: ``ForceNew``, ``RequiresReplace`` and ``CustomizeDiff`` in the schemas of
  HashiCorp's provider for AWS (``internal/service/**/*.go``), which Pulumi's is made of. ``READ``
  says which commit of each file. They are of versions 3 to 6, not of the one release that
  pulumi-aws 7.51.1 has inside: what a later commit has changed is not here. Pulumi's own schema
  (``replaceOnChanges``) could not be read.
- ``DELETED_FIRST`` and ``AUTO_NAMED``: ``DeleteBeforeReplace`` and the names that are made, in
  ``provider/resource_overrides.go`` (commit 015d3438) and ``provider/autonaming.go`` (0c5f6583) of
  Pulumi's provider, version 7. No other type of the program is deleted first.
- ``KEYS``, ``HOLDS``, ``NAMES`` and ``LENGTHS`` are what AWS does, by its documents and by
  botocore. The provider's source does not prove them.

Not verified, because the copies say nothing of it or are too old: ``mode`` of
``ContributorInsights``; whether ``deliveryDestinationType`` of ``LogDeliveryDestination`` replaces;
``engine`` of ``UserGroup`` (the copy replaces; a later one may change ``redis`` to ``valkey`` in
place, as ``ServerlessCache`` does); whether releases after the copy change ``name`` of ``UserPool``
in place; what ``CustomizeDiff`` of ``UserPoolDomain``, ``Vpc`` and ``TopicSubscription`` adds.
"""

from __future__ import annotations

from collections.abc import Mapping

REPLACES: Mapping[str, frozenset[str]] = {
    kind: frozenset(properties.split())
    for kind, properties in {
        "aws:apigatewayv2/api:Api": "credentialsArn protocolType routeKey target",
        "aws:apigatewayv2/authorizer:Authorizer": "apiId",
        "aws:apigatewayv2/integration:Integration": "apiId integrationSubtype integrationType",
        "aws:apigatewayv2/route:Route": "apiId",
        "aws:apigatewayv2/stage:Stage": "apiId name",
        "aws:appautoscaling/policy:Policy": "name resourceId scalableDimension serviceNamespace",
        "aws:appautoscaling/target:Target": "resourceId scalableDimension serviceNamespace",
        "aws:batch/computeEnvironment:ComputeEnvironment": (
            "computeResources.ec2Configurations computeResources.launchTemplate"
            " computeResources.placementGroup computeResources.spotIamFleetRole"
            " eksConfiguration name namePrefix type"
        ),
        "aws:batch/jobDefinition:JobDefinition": "name retryStrategy.evaluateOnExits",
        "aws:batch/jobQueue:JobQueue": "name",
        "aws:batch/schedulingPolicy:SchedulingPolicy": "name",
        "aws:budgets/budget:Budget": "name namePrefix accountId",
        "aws:cloudcontrol/resource:Resource": "typeName",
        "aws:cloudfront/cachePolicy:CachePolicy": "",
        "aws:cloudfront/distribution:Distribution": "staging",
        "aws:cloudfront/function:Function": "name",
        "aws:cloudfront/originAccessControl:OriginAccessControl": "",
        "aws:cloudfront/originRequestPolicy:OriginRequestPolicy": "",
        "aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy": "",
        "aws:cloudwatch/compositeAlarm:CompositeAlarm": "actionsEnabled alarmName",
        "aws:cloudwatch/dashboard:Dashboard": "dashboardName",
        "aws:cloudwatch/eventArchive:EventArchive": "name eventSourceArn",
        "aws:cloudwatch/eventBus:EventBus": "name eventSourceName",
        "aws:cloudwatch/eventRule:EventRule": "name namePrefix eventBusName",
        "aws:cloudwatch/eventTarget:EventTarget": "eventBusName rule targetId",
        "aws:cloudwatch/logDelivery:LogDelivery": "deliveryDestinationArn deliverySourceName",
        "aws:cloudwatch/logDeliveryDestination:LogDeliveryDestination": "name outputFormat",
        "aws:cloudwatch/logDeliverySource:LogDeliverySource": "logType name resourceArn",
        "aws:cloudwatch/logGroup:LogGroup": "name namePrefix logGroupClass",
        "aws:cloudwatch/logMetricFilter:LogMetricFilter": "name logGroupName",
        "aws:cloudwatch/logResourcePolicy:LogResourcePolicy": "policyName resourceArn",
        "aws:cloudwatch/metricAlarm:MetricAlarm": "name",
        "aws:cognito/resourceServer:ResourceServer": "identifier name userPoolId",
        "aws:cognito/userGroup:UserGroup": "name userPoolId",
        "aws:cognito/userPool:UserPool": (
            "aliasAttributes name usernameAttributes usernameConfiguration.caseSensitive"
        ),
        "aws:cognito/userPoolClient:UserPoolClient": "userPoolId generateSecret",
        "aws:cognito/userPoolDomain:UserPoolDomain": "domain userPoolId",
        "aws:costexplorer/anomalySubscription:AnomalySubscription": "accountId name",
        "aws:costexplorer/costAllocationTag:CostAllocationTag": "",
        "aws:dynamodb/contributorInsights:ContributorInsights": "indexName tableName mode",
        "aws:dynamodb/table:Table": (
            "hashKey importTable.s3BucketSource localSecondaryIndexes name rangeKey"
            " restoreDateTime restoreToLatestTime"
        ),
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": "vpcId",
        "aws:ec2/internetGateway:InternetGateway": "",
        "aws:ec2/launchTemplate:LaunchTemplate": "name namePrefix",
        "aws:ec2/route:Route": (
            "routeTableId destinationCidrBlock destinationIpv6CidrBlock destinationPrefixListId"
        ),
        "aws:ec2/routeTable:RouteTable": "vpcId",
        "aws:ec2/routeTableAssociation:RouteTableAssociation": "subnetId gatewayId",
        "aws:ec2/securityGroup:SecurityGroup": "name namePrefix description vpcId",
        "aws:ec2/subnet:Subnet": (
            "availabilityZone availabilityZoneId cidrBlock ipv4IpamPoolId ipv4NetmaskLength"
            " ipv6IpamPoolId ipv6Native ipv6NetmaskLength outpostArn vpcId"
        ),
        "aws:ec2/vpc:Vpc": "cidrBlock ipv4IpamPoolId ipv4NetmaskLength",
        "aws:ec2/vpcEndpoint:VpcEndpoint": (
            "dnsOptions.privateDnsPreference dnsOptions.privateDnsSpecifiedDomains"
            " resourceConfigurationArn serviceName serviceNetworkArn serviceRegion"
            " vpcEndpointType vpcId"
        ),
        "aws:ecr/lifecyclePolicy:LifecyclePolicy": "policy repository",
        "aws:ecr/repository:Repository": "encryptionConfigurations name",
        "aws:ecr/repositoryPolicy:RepositoryPolicy": "repository",
        "aws:elasticache/serverlessCache:ServerlessCache": (
            "kmsKeyId name snapshotArnsToRestores subnetIds"
        ),
        "aws:elasticache/user:User": "userId userName",
        "aws:elasticache/userGroup:UserGroup": "engine userGroupId",
        "aws:iam/instanceProfile:InstanceProfile": "name namePrefix path",
        "aws:iam/role:Role": "name namePrefix path",
        "aws:iam/rolePolicy:RolePolicy": "name namePrefix role",
        "aws:lambda/alias:Alias": "functionName name",
        "aws:lambda/eventSourceMapping:EventSourceMapping": (
            "amazonManagedKafkaEventSourceConfig eventSourceArn queues selfManagedEventSource"
            " selfManagedKafkaEventSourceConfig startingPosition startingPositionTimestamp topics"
        ),
        "aws:lambda/function:Function": "name packageType tenancyConfig",
        "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": "functionName qualifier",
        "aws:lambda/functionUrl:FunctionUrl": "functionName qualifier",
        "aws:lambda/permission:Permission": (
            "action eventSourceToken function functionUrlAuthType invokedViaFunctionUrl principal"
            " principalOrgId qualifier sourceAccount sourceArn statementId statementIdPrefix"
        ),
        "aws:pipes/pipe:Pipe": "name namePrefix source",
        "aws:s3/bucket:Bucket": (
            "bucket bucketPrefix objectLockConfiguration.objectLockEnabled objectLockEnabled"
        ),
        "aws:s3/bucketAccelerateConfiguration:BucketAccelerateConfiguration": (
            "bucket expectedBucketOwner"
        ),
        "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration": "bucket expectedBucketOwner",
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": (
            "bucket expectedBucketOwner"
        ),
        "aws:s3/bucketLogging:BucketLogging": "bucket expectedBucketOwner",
        "aws:s3/bucketNotification:BucketNotification": "bucket",
        "aws:s3/bucketObject:BucketObject": "bucket key",
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls": "bucket",
        "aws:s3/bucketPolicy:BucketPolicy": "bucket",
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "bucket",
        "aws:s3/bucketReplicationConfig:BucketReplicationConfig": "bucket",
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
            "bucket expectedBucketOwner"
        ),
        "aws:s3/bucketVersioning:BucketVersioning": "bucket expectedBucketOwner",
        "aws:savingsplans/savingsPlan:SavingsPlan": (
            "commitment purchaseTime savingsPlanOfferingId upfrontPaymentAmount"
        ),
        "aws:serverlessrepository/cloudFormationStack:CloudFormationStack": "applicationId name",
        "aws:sfn/stateMachine:StateMachine": "name namePrefix type",
        "aws:sns/topic:Topic": "fifoTopic name namePrefix",
        "aws:sns/topicPolicy:TopicPolicy": "arn",
        "aws:sns/topicSubscription:TopicSubscription": "endpoint protocol topic",
        "aws:sqs/queue:Queue": "fifoQueue name namePrefix",
        "aws:sqs/queuePolicy:QueuePolicy": "queueUrl",
        "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy": "queueUrl",
        "aws:wafv2/webAcl:WebAcl": "name namePrefix scope",
    }.items()
}
"""By type: the inputs that no resource can change while it exists.

``a.b`` is ``b`` in ``a`` alone; of a list in there, an entry more or less. Some inputs replace only
in a case. They are not listed, because the program does not meet it; whoever changes it looks here:

- ``computeResources`` of ``ComputeEnvironment``: where ``serviceRole`` is not the service-linked
  one, or ``allocationStrategy`` is not one of ``BEST_FIT_PROGRESSIVE``,
  ``SPOT_CAPACITY_OPTIMIZED`` and ``SPOT_PRICE_CAPACITY_OPTIMIZED``, also the strategy, the
  instance types, role and key pair, the image, the fields of ``ec2Configurations`` and
  ``launchTemplate``, the bid, the tags, and (except on Fargate) subnets and security groups.
- ``desiredState`` of ``cloudcontrol.Resource``: a property that its CloudFormation schema calls
  create-only.
- ``deliveryDestinationConfiguration`` of ``LogDeliveryDestination``: an ARN of another service, or
  one that is not known yet.
- ``Table``: another source of a restoration; fewer warm units.
- ``ipv6CidrBlock`` of ``Subnet``: where ``assignIpv6AddressOnCreation`` was set.
- ``privateDnsEnabled`` of ``VpcEndpoint``: where its type is not ``Interface``.
- ``ServerlessCache``: another ``engine``, except from ``redis`` to ``valkey`` and back; another
  ``majorEngineVersion``, except a higher one with ``valkey``.
"""

READ: Mapping[str, str] = {
    "0015017a": "cloudfront/responseHeadersPolicy cloudwatch/eventArchive",
    "0040ea69": "iam/role",
    "004b82ba": "ecr/repositoryPolicy",
    # objectLockEnabled is of later copies, which do not say their commit.
    "0070bcd1": "s3/bucket",
    "0072eea2": "ecr/repository",
    "0073593e": "cloudwatch/logGroup s3/bucketOwnershipControls s3/bucketPolicy wafv2/webAcl",
    "00081ce4": "ec2/vpc",
    "008db85a": "ec2/vpcEndpoint",
    "009ebbba": "cloudwatch/logDelivery",
    "00a35305": (
        "apigatewayv2/api apigatewayv2/route cloudwatch/logDeliverySource"
        " cloudwatch/logResourcePolicy ecr/lifecyclePolicy sns/topic sns/topicPolicy sqs/queue"
    ),
    "00b843af": "batch/jobQueue",
    "00cda125": "ec2/subnet",
    "0105d219": "appautoscaling/target",
    "0128541e": "ec2/route",
    "013f1736": "iam/instanceProfile",
    "0148137d": "sqs/queuePolicy",
    "0156d84e": "lambda/function",
    "015edb13": "cognito/userPool",
    "01606926": (
        "batch/computeEnvironment batch/jobDefinition cloudwatch/eventBus ec2/securityGroup"
        " lambda/functionEventInvokeConfig s3/bucketLifecycleConfiguration"
        " s3/bucketPublicAccessBlock s3/bucketServerSideEncryptionConfiguration"
    ),
    "01c08000": (
        "cloudfront/cachePolicy cloudfront/originAccessControl cognito/userPoolDomain"
        " s3/bucketCorsConfiguration s3/bucketObject s3/bucketVersioning"
    ),
    "01d5888a": "budgets/budget",
    "01f43111": (
        "apigatewayv2/authorizer cognito/userPoolClient ec2/defaultSecurityGroup elasticache/user"
        " s3/bucketLogging sfn/stateMachine"
    ),
    "02209241": "ec2/routeTable",
    "023c8e5c": "cloudfront/distribution",
    "025e4f81": "ec2/launchTemplate",
    "028665b1": "s3/bucketReplicationConfig",
    "029aff97": "lambda/alias",
    "02b9d32f": "pipes/pipe",
    "02f6d2d9": "apigatewayv2/stage",
    "02f97af8": "iam/rolePolicy",
    "02fe3b28": "cloudcontrol/resource",
    "033c721b": "s3/bucketNotification",
    "03412d53": "apigatewayv2/integration s3/bucketAccelerateConfiguration",
    "0389eecf": "cognito/userGroup sqs/redriveAllowPolicy",
    "0392321f": "cloudfront/originRequestPolicy",
    "04592f03": "lambda/permission",
    "048320e8": "appautoscaling/policy",
    "04a2e6e5": "sns/topicSubscription",
    "050ac111": "batch/schedulingPolicy cloudwatch/compositeAlarm",
    "055611a6": "cloudwatch/metricAlarm",
    "05f1478d": "lambda/functionUrl",
    "0603f3b6": "lambda/eventSourceMapping",
    "0620f2a6": "cloudwatch/dashboard",
    "0762c41e": "cloudwatch/eventTarget",
    "088e0878": "cognito/resourceServer",
    "08923b68": "ec2/internetGateway",
    "08c979ce": "savingsplans/savingsPlan",
    "0a7150e2": "serverlessrepository/cloudFormationStack",
    "0b774099": "cloudfront/function",
    "0be71beb": "ec2/routeTableAssociation",
    "0cdab4ae": "cloudwatch/eventRule",
    "0f14e6f6": "cloudwatch/logMetricFilter",
    "18fc80b6": "costexplorer/costAllocationTag",
    "1e67cc5d": "cloudwatch/logDeliveryDestination",
    "2317e6f4": "dynamodb/contributorInsights",
    # Copies that do not say their commit.
    "": (
        "costexplorer/anomalySubscription dynamodb/table elasticache/serverlessCache"
        " elasticache/userGroup"
    ),
}
"""Commits of ``hashicorp/terraform-provider-aws``, and the types whose schemas were read there."""

DELETED_FIRST = frozenset(
    {
        "aws:ecr/lifecyclePolicy:LifecyclePolicy",
    }
)
"""Types that Pulumi's provider deletes before it makes their replacement, whatever their name."""

AUTO_NAMED: Mapping[str, str] = {
    "aws:cloudwatch/eventTarget:EventTarget": "targetId",
    "aws:lambda/permission:Permission": "statementId",
    "aws:s3/bucket:Bucket": "bucket",
}
"""Where the name that is made for a resource goes, if not to its input ``name``. (The ``key`` of a
bucket's object would be the resource's own name, without random characters; the program says each
key.)"""

KEYS: Mapping[str, tuple[str, ...]] = {
    "aws:cloudwatch/eventRule:EventRule": ("eventBusName", "name"),
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": ("logGroupName", "name"),
    "aws:cloudwatch/dashboard:Dashboard": ("dashboardName",),
    "aws:cloudwatch/compositeAlarm:CompositeAlarm": ("alarmName",),
    "aws:ec2/route:Route": ("routeTableId", "destinationCidrBlock"),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": ("subnetId",),
    "aws:elasticache/user:User": ("userId",),
    "aws:elasticache/userGroup:UserGroup": ("userGroupId",),
    "aws:iam/rolePolicy:RolePolicy": ("role", "name"),
    "aws:lambda/alias:Alias": ("functionName", "name"),
    "aws:lambda/eventSourceMapping:EventSourceMapping": ("functionName", "eventSourceArn"),
    "aws:lambda/functionUrl:FunctionUrl": ("functionName", "qualifier"),
    "aws:s3/bucket:Bucket": ("bucket",),
}
"""What identifies a resource in an account, if not its name: a second one is refused."""

HOLDS: Mapping[str, frozenset[str]] = {
    "aws:batch/computeEnvironment:ComputeEnvironment": frozenset({"aws:batch/jobQueue:JobQueue"}),
    "aws:batch/schedulingPolicy:SchedulingPolicy": frozenset({"aws:batch/jobQueue:JobQueue"}),
    "aws:cloudfront/cachePolicy:CachePolicy": frozenset(
        {"aws:cloudfront/distribution:Distribution"}
    ),
    "aws:cloudfront/function:Function": frozenset({"aws:cloudfront/distribution:Distribution"}),
    "aws:cloudfront/originAccessControl:OriginAccessControl": frozenset(
        {"aws:cloudfront/distribution:Distribution"}
    ),
    "aws:cloudfront/originRequestPolicy:OriginRequestPolicy": frozenset(
        {"aws:cloudfront/distribution:Distribution"}
    ),
    "aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy": frozenset(
        {"aws:cloudfront/distribution:Distribution"}
    ),
    "aws:cloudwatch/eventBus:EventBus": frozenset({"aws:cloudwatch/eventRule:EventRule"}),
    "aws:cloudwatch/eventRule:EventRule": frozenset({"aws:cloudwatch/eventTarget:EventTarget"}),
    "aws:ec2/internetGateway:InternetGateway": frozenset({"aws:ec2/route:Route"}),
    "aws:ec2/routeTable:RouteTable": frozenset(
        {"aws:ec2/routeTableAssociation:RouteTableAssociation"}
    ),
    "aws:ec2/securityGroup:SecurityGroup": frozenset(
        {
            "aws:ec2/vpcEndpoint:VpcEndpoint",
            "aws:elasticache/serverlessCache:ServerlessCache",
            "aws:lambda/function:Function",
        }
    ),
    "aws:ec2/subnet:Subnet": frozenset(
        {
            "aws:ec2/vpcEndpoint:VpcEndpoint",
            "aws:elasticache/serverlessCache:ServerlessCache",
            "aws:lambda/function:Function",
        }
    ),
    "aws:ec2/vpc:Vpc": frozenset(
        {
            "aws:ec2/internetGateway:InternetGateway",
            "aws:ec2/securityGroup:SecurityGroup",
            "aws:ec2/subnet:Subnet",
            "aws:ec2/vpcEndpoint:VpcEndpoint",
        }
    ),
    "aws:elasticache/user:User": frozenset({"aws:elasticache/userGroup:UserGroup"}),
    "aws:elasticache/userGroup:UserGroup": frozenset(
        {"aws:elasticache/serverlessCache:ServerlessCache"}
    ),
    "aws:iam/role:Role": frozenset(
        {"aws:iam/rolePolicy:RolePolicy", "aws:iam/instanceProfile:InstanceProfile"}
    ),
    "aws:wafv2/webAcl:WebAcl": frozenset({"aws:cloudfront/distribution:Distribution"}),
}
"""By type: resources that AWS does not delete while one of those types names them (``InUse``,
``DeleteConflict``, ``DependencyViolation``).

The provider itself takes a role out of its instance profiles and a route table out of its
associations before it deletes them: to refuse these is stricter than it is."""

NAMES: Mapping[str, tuple[str, str, str]] = {
    "aws:cloudfront/function:Function": ("cloudfront", "CreateFunction", "Name"),
    "aws:cloudwatch/eventArchive:EventArchive": ("events", "CreateArchive", "ArchiveName"),
    "aws:cloudwatch/eventBus:EventBus": ("events", "CreateEventBus", "Name"),
    "aws:cloudwatch/eventRule:EventRule": ("events", "PutRule", "Name"),
    "aws:cloudwatch/logGroup:LogGroup": ("logs", "CreateLogGroup", "logGroupName"),
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": ("logs", "PutMetricFilter", "filterName"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": ("cloudwatch", "PutMetricAlarm", "AlarmName"),
    "aws:ec2/launchTemplate:LaunchTemplate": (
        *("ec2", "CreateLaunchTemplate", "LaunchTemplateName"),
    ),
    "aws:ecr/repository:Repository": ("ecr", "CreateRepository", "repositoryName"),
    "aws:iam/instanceProfile:InstanceProfile": (
        *("iam", "CreateInstanceProfile", "InstanceProfileName"),
    ),
    "aws:iam/role:Role": ("iam", "CreateRole", "RoleName"),
    "aws:iam/rolePolicy:RolePolicy": ("iam", "PutRolePolicy", "PolicyName"),
    "aws:lambda/function:Function": ("lambda", "CreateFunction", "FunctionName"),
    "aws:pipes/pipe:Pipe": ("pipes", "CreatePipe", "Name"),
    "aws:sfn/stateMachine:StateMachine": ("stepfunctions", "CreateStateMachine", "name"),
    "aws:wafv2/webAcl:WebAcl": ("wafv2", "CreateWebACL", "Name"),
}
"""By type: service, operation and member of the AWS API that a name has to satisfy. Their lengths
and patterns are in the service models of botocore."""

_BATCH = (128, r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""AWS Batch API Reference: the names of everything there."""
LENGTHS: Mapping[str, tuple[int, str]] = {
    "aws:batch/computeEnvironment:ComputeEnvironment": _BATCH,
    "aws:batch/jobDefinition:JobDefinition": _BATCH,
    "aws:batch/jobQueue:JobQueue": _BATCH,
    "aws:batch/schedulingPolicy:SchedulingPolicy": _BATCH,
    # DynamoDB Developer Guide, naming rules; the model has the length of an ARN.
    "aws:dynamodb/table:Table": (255, r"[A-Za-z0-9_.-]{3,}"),
    # Bucket naming rules (Amazon S3 User Guide).
    "aws:s3/bucket:Bucket": (63, r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"),
    # SQS API Reference, CreateQueue: 80 characters, .fifo among them.
    "aws:sqs/queue:Queue": (80, r"[A-Za-z0-9_-]+(\.fifo)?"),
    # Lambda API Reference, CreateFunction: the name alone has at most 64 characters; the model has
    # 140, for whole ARNs.
    "aws:lambda/function:Function": (64, r"[A-Za-z0-9_-]+"),
}
"""Longest name and its pattern where the model does not say it."""
