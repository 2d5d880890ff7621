"""What AWS's provider for Pulumi and AWS itself demand of resources: names, replacements, order.

Sources: the schemas of HashiCorp's provider for AWS, which Pulumi's is made of (``ForceNew`` and
``RequiresReplace`` in ``internal/service/**/*.go``, version 6), and ``provider/resources.go`` of
Pulumi's (``DeleteBeforeReplace``), version 7. Only what the program declares is here; a type that
is missing fails the tests that run over the whole program.
"""

from __future__ import annotations

from collections.abc import Mapping

REPLACES: Mapping[str, frozenset[str]] = {
    kind: frozenset(properties.split())
    for kind, properties in {
        "aws:apigatewayv2/api:Api": "protocolType",
        "aws:apigatewayv2/authorizer:Authorizer": "apiId",
        "aws:apigatewayv2/integration:Integration": "apiId connectionType integrationType",
        "aws:apigatewayv2/route:Route": "apiId",
        "aws:apigatewayv2/stage:Stage": "apiId name",
        "aws:appautoscaling/policy:Policy": "name resourceId scalableDimension serviceNamespace",
        "aws:appautoscaling/target:Target": "resourceId scalableDimension serviceNamespace",
        "aws:batch/computeEnvironment:ComputeEnvironment": "name namePrefix type",
        "aws:batch/jobDefinition:JobDefinition": "name type",
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
        "aws:cloudwatch/compositeAlarm:CompositeAlarm": "alarmName",
        "aws:cloudwatch/dashboard:Dashboard": "dashboardName",
        "aws:cloudwatch/eventArchive:EventArchive": "name eventSourceArn",
        "aws:cloudwatch/eventBus:EventBus": "name eventSourceName",
        "aws:cloudwatch/eventRule:EventRule": "name namePrefix eventBusName",
        "aws:cloudwatch/eventTarget:EventTarget": "eventBusName rule targetId",
        "aws:cloudwatch/logDelivery:LogDelivery": "deliveryDestinationArn deliverySourceName",
        "aws:cloudwatch/logDeliveryDestination:LogDeliveryDestination": "name",
        "aws:cloudwatch/logDeliverySource:LogDeliverySource": "logType name resourceArn",
        "aws:cloudwatch/logGroup:LogGroup": "name namePrefix logGroupClass",
        "aws:cloudwatch/logMetricFilter:LogMetricFilter": "name logGroupName",
        "aws:cloudwatch/logResourcePolicy:LogResourcePolicy": "policyName resourceArn",
        "aws:cloudwatch/metricAlarm:MetricAlarm": "name",
        "aws:cognito/resourceServer:ResourceServer": "identifier userPoolId",
        "aws:cognito/userGroup:UserGroup": "name userPoolId",
        "aws:cognito/userPool:UserPool": "",
        "aws:cognito/userPoolClient:UserPoolClient": "userPoolId generateSecret",
        "aws:cognito/userPoolDomain:UserPoolDomain": "domain userPoolId",
        "aws:costexplorer/anomalySubscription:AnomalySubscription": "accountId name",
        "aws:costexplorer/costAllocationTag:CostAllocationTag": "tagKey",
        "aws:dynamodb/contributorInsights:ContributorInsights": "indexName tableName mode",
        "aws:dynamodb/table:Table": "hashKey localSecondaryIndexes name rangeKey",
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": "",
        "aws:ec2/internetGateway:InternetGateway": "",
        "aws:ec2/launchTemplate:LaunchTemplate": "name namePrefix",
        "aws:ec2/route:Route": (
            "routeTableId destinationCidrBlock destinationIpv6CidrBlock destinationPrefixListId"
        ),
        "aws:ec2/routeTable:RouteTable": "vpcId",
        "aws:ec2/routeTableAssociation:RouteTableAssociation": "subnetId gatewayId",
        "aws:ec2/securityGroup:SecurityGroup": "name namePrefix description vpcId",
        "aws:ec2/subnet:Subnet": "availabilityZone availabilityZoneId cidrBlock vpcId",
        "aws:ec2/vpc:Vpc": "cidrBlock",
        "aws:ec2/vpcEndpoint:VpcEndpoint": "serviceName vpcEndpointType vpcId",
        "aws:ecr/lifecyclePolicy:LifecyclePolicy": "policy repository",
        "aws:ecr/repository:Repository": "encryptionConfigurations name",
        "aws:ecr/repositoryPolicy:RepositoryPolicy": "repository",
        "aws:elasticache/serverlessCache:ServerlessCache": (
            "kmsKeyId name securityGroupIds subnetIds"
        ),
        "aws:elasticache/user:User": "userId userName",
        "aws:elasticache/userGroup:UserGroup": "userGroupId",
        "aws:iam/instanceProfile:InstanceProfile": "name namePrefix path",
        "aws:iam/role:Role": "name namePrefix path",
        "aws:iam/rolePolicy:RolePolicy": "name namePrefix role",
        "aws:lambda/alias:Alias": "functionName name",
        "aws:lambda/eventSourceMapping:EventSourceMapping": (
            "eventSourceArn queues startingPosition startingPositionTimestamp topics"
        ),
        "aws:lambda/function:Function": "name packageType",
        "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": "functionName qualifier",
        "aws:lambda/functionUrl:FunctionUrl": "functionName qualifier",
        "aws:lambda/permission:Permission": (
            "action eventSourceToken function functionUrlAuthType invokedViaFunctionUrl principal"
            " principalOrgId qualifier sourceAccount sourceArn statementId statementIdPrefix"
        ),
        "aws:pipes/pipe:Pipe": "name namePrefix source",
        "aws:s3/bucket:Bucket": "bucket bucketPrefix objectLockEnabled",
        "aws:s3/bucketAccelerateConfiguration:BucketAccelerateConfiguration": "bucket",
        "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration": "bucket",
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": "bucket",
        "aws:s3/bucketLogging:BucketLogging": "bucket",
        "aws:s3/bucketNotification:BucketNotification": "bucket",
        "aws:s3/bucketObject:BucketObject": "bucket key",
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls": "bucket",
        "aws:s3/bucketPolicy:BucketPolicy": "bucket",
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "bucket",
        "aws:s3/bucketReplicationConfig:BucketReplicationConfig": "bucket",
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
            "bucket"
        ),
        "aws:s3/bucketVersioning:BucketVersioning": "bucket",
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
        "aws:wafv2/webAcl:WebAcl": "name scope",
    }.items()
}
"""By type: the inputs that no resource can change while it exists."""

DELETED_FIRST = frozenset(
    {
        "aws:ecr/lifecyclePolicy:LifecyclePolicy",
    }
)
"""Types that Pulumi's provider deletes before it makes their replacement, whatever their name."""

AUTO_NAMED: Mapping[str, str] = {"aws:s3/bucket:Bucket": "bucket"}
"""Where the name that is made for a resource goes, if not to its input ``name``."""

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
``DeleteConflict``, ``DependencyViolation``)."""

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
