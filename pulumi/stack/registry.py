"""Where the container images are kept: one repository each, tags that never move."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pulumi_aws import ecr

from stack import policies
from stack.config import Registry as RegistryConfig
from stack.scope import Scope

COMPONENT = "registry"
IMAGES = ("lambda", "batch")


class Registry(pulumi.ComponentResource):
    """The repositories of both images. `make push` fills them before the rest is deployed."""

    def __init__(
        self,
        name: str,
        scope: Scope,
        config: RegistryConfig,
        *,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:registry:Registry", name, None, opts)
        self.urls: Mapping[str, pulumi.Output[str]] = {
            image: self._repository(image, scope, config) for image in IMAGES
        }
        self.register_outputs({})

    def _repository(self, image: str, scope: Scope, config: RegistryConfig) -> pulumi.Output[str]:
        own = pulumi.ResourceOptions(parent=self)
        repository = ecr.Repository(
            scope.name(f"image-{image}"),
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
            opts=own,
        )
        ecr.LifecyclePolicy(
            scope.name(f"image-{image}"),
            repository=repository.name,
            policy=pulumi.Output.json_dumps(
                {
                    "rules": [
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
                                "countNumber": config.images_kept,
                            },
                            "action": {"type": "expire"},
                        },
                    ]
                }
            ),
            opts=own,
        )
        if image == "lambda":
            # Lambda pulls on its own behalf, not with a role of ours; Batch pulls with its
            # machines' role (ECR User Guide, "Using Amazon ECR images with AWS services").
            ecr.RepositoryPolicy(
                scope.name(f"image-{image}"),
                repository=repository.name,
                policy=policies.may_pull("lambda.amazonaws.com", account=scope.account),
                opts=own,
            )
        return repository.repository_url
