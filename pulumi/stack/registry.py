"""Where the container images are kept: one repository each, tags that never move.

Repositories have names of their own choice, not Pulumi's: `make push` knows them from the address
that the stack exports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws
from pulumi_aws import ecr

from stack import policies
from stack.config import RegistryConfig
from stack.scope import PROJECT, Scope

COMPONENT = "registry"
IMAGES = {"lambda": PROJECT, "batch": f"{PROJECT}-batch"}
"""The local name of each image."""
_ADDRESS = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([^:@]+)")


class Registry(pulumi.ComponentResource):
    """The repositories of both images. `make push` fills them before the rest is deployed."""

    def __init__(
        self,
        scope: Scope,
        config: RegistryConfig,
    ) -> None:
        super().__init__("safelight:registry:Registry", scope.name(COMPONENT))
        self._own = pulumi.ResourceOptions(parent=self)
        self.urls: Mapping[str, pulumi.Output[str]] = {
            image: self._repository(image, scope, config) for image in IMAGES
        }
        self.address = self.urls["lambda"].apply(lambda url: url.removesuffix(f"/{PROJECT}"))
        """Prefix of an image's name, the default of `make push`."""
        self.register_outputs({})

    def _repository(self, image: str, scope: Scope, config: RegistryConfig) -> pulumi.Output[str]:
        name = scope.name(f"image-{image}")
        repository = ecr.Repository(
            name,
            name=f"{scope.prefix}/{IMAGES[image]}",
            # A digest that is deployed must stay what it was tested as.
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration=ecr.RepositoryImageScanningConfigurationArgs(
                scan_on_push=True
            ),
            encryption_configurations=[
                ecr.RepositoryEncryptionConfigurationArgs(encryption_type="AES256")
            ],
            force_delete=config.force_delete,
            tags=scope.tags(COMPONENT),
            opts=self._own,
        )
        ecr.LifecyclePolicy(
            name,
            repository=repository.name,
            policy=pulumi.Output.json_dumps({"rules": _rules(config.images_kept)}),
            opts=self._own,
        )
        if image == "lambda":
            # Lambda pulls on its own behalf, not with a role of ours; Batch pulls with its
            # machines' role (ECR User Guide, "Using Amazon ECR images with AWS services").
            functions = f"arn:aws:lambda:{aws.get_region().region}:{scope.account}:function"
            ecr.RepositoryPolicy(
                name,
                repository=repository.name,
                policy=policies.may_be_pulled(
                    "lambda.amazonaws.com", functions=f"{functions}:{scope.name('*')}"
                ),
                opts=self._own,
            )
        return repository.repository_url


def repository_of(image: str) -> str | None:
    """The ARN of the repository that an image is pulled from; None if it is not one of ECR."""
    found = _ADDRESS.match(image)
    if found is None:
        return None
    account, region, name = found.groups()
    return f"arn:aws:ecr:{region}:{account}:repository/{name}"


def may_pull(repository: pulumi.Input[str]) -> Sequence[policies.Statement]:
    """Permissions to pull from one repository (ARN)."""
    return [
        policies.allow(
            [
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer",
            ],
            [repository],
        ),
        policies.allow(["ecr:GetAuthorizationToken"], ["*"]),  # knows no resources
    ]


def _rules(kept: int) -> Sequence[Mapping[str, object]]:
    return [
        {
            "rulePriority": 1,
            "description": "What no tag names is of a push that was replaced",
            "selection": {
                "tagStatus": "untagged",
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": 7,
            },
            "action": {"type": "expire"},
        },
        {
            "rulePriority": 2,
            "description": "Enough to go back to",
            "selection": {
                "tagStatus": "any",
                "countType": "imageCountMoreThan",
                "countNumber": kept,
            },
            "action": {"type": "expire"},
        },
    ]
