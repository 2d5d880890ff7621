"""ECR: repositories for container images. Empty here; nothing pulls from them."""

from __future__ import annotations

from worker.local.deploy.kinds.kind import Aws, Created, Declared, Kind


def _repository(aws: Aws, declared: Declared) -> Created:
    name, inputs = declared.physical_name, declared.inputs
    scanning = inputs.get("imageScanningConfiguration", {"scanOnPush": False})
    try:
        found = aws.ecr.create_repository(
            repositoryName=name,
            imageTagMutability=inputs["imageTagMutability"],
            imageScanningConfiguration=dict(scanning),
            encryptionConfiguration={
                key: value
                for one in inputs["encryptionConfigurations"]
                for key, value in one.items()
            },
            tags=declared.tag_list,
        )["repository"]
    except aws.ecr.exceptions.RepositoryAlreadyExistsException:
        found = aws.ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
    return name, {
        "name": name,
        "arn": found["repositoryArn"],
        "repositoryUrl": found["repositoryUri"],
        "registryId": found["registryId"],
    }


def _lifecycle(aws: Aws, declared: Declared) -> Created:
    name = declared.inputs["repository"]
    aws.ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=declared.inputs["policy"])
    return name, {}


def _policy(aws: Aws, declared: Declared) -> Created:
    name = declared.inputs["repository"]
    aws.ecr.set_repository_policy(repositoryName=name, policyText=declared.inputs["policy"])
    return name, {}


KINDS = {
    "aws:ecr/repository:Repository": Kind(
        _repository,
        frozenset(
            {
                "encryptionConfigurations",
                "forceDelete",  # tells Pulumi, not ECR
                "imageScanningConfiguration",
                "imageTagMutability",
                "name",
                "tags",
            }
        ),
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": Kind(
        _lifecycle, frozenset({"policy", "repository"})
    ),
    "aws:ecr/repositoryPolicy:RepositoryPolicy": Kind(_policy, frozenset({"policy", "repository"})),
}
