"""What is said about the repositories of the images, and who may pull from them."""

from __future__ import annotations

import pytest

from stack.registry import repository_of
from tests.infra.declared import ACCOUNT, BATCH_IMAGE, ECR, Declaration


def test_repositories_keep_tags_and_drop_old_images(ordered: Declaration) -> None:
    """Tags never move, pushes are scanned, and what nobody needs goes."""
    for repository in ordered.of("ecr/Repository"):
        assert repository.inputs["imageTagMutability"] == "IMMUTABLE"
        assert repository.inputs["imageScanningConfiguration"] == {"scanOnPush": True}
    for policy in ordered.of("ecr/LifecyclePolicy"):
        first, second = policy.document("policy")["rules"]
        assert first["selection"]["tagStatus"] == "untagged"
        assert second["selection"]["countNumber"] == 30


def test_repositories_are_called_as_the_images_are_built(ordered: Declaration) -> None:
    """So that `make push` knows them from one address, which the stack exports."""
    names = {one.inputs["name"] for one in ordered.of("ecr/Repository")}

    assert names == {"safelight-test/safelight", "safelight-test/safelight-batch"}
    assert ordered.exports["registry"] == f"{ECR}/safelight-test"


def test_lambda_may_pull_for_functions_of_this_stack_only(ordered: Declaration) -> None:
    """Batch pulls with its machines' role and needs no policy here."""
    (policy,) = ordered.of("ecr/RepositoryPolicy")
    (statement,) = policy.statements()

    assert policy.name == "image-lambda"
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert statement["Condition"] == {
        "StringLike": {
            "aws:sourceArn": f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:safelight-test-*"
        }
    }


def test_machines_may_pull_the_image_of_jobs_and_no_other(ordered: Declaration) -> None:
    """The policy names only the repository of the Batch image, wherever it is."""
    rights = {
        action: one["Resource"]
        for one in ordered.one("iam/RolePolicy", "machine").statements()
        for action in one["Action"]
        if action.startswith("ecr:")
    }
    mine = [f"arn:aws:ecr:eu-central-1:{ACCOUNT}:repository/safelight-batch"]

    assert rights == {
        "ecr:BatchCheckLayerAvailability": mine,
        "ecr:BatchGetImage": mine,
        "ecr:GetDownloadUrlForLayer": mine,
        "ecr:GetAuthorizationToken": ["*"],
    }


def test_an_image_of_elsewhere_needs_no_right(chosen: Declaration) -> None:
    """A public registry asks for none."""
    actions = {
        action
        for one in chosen.one("iam/RolePolicy", "machine").statements()
        for action in one["Action"]
    }

    assert not {action for action in actions if action.startswith("ecr:")}


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        (BATCH_IMAGE, f"arn:aws:ecr:eu-central-1:{ACCOUNT}:repository/safelight-batch"),
        (f"{ECR}/a/b:v1@sha256:00", f"arn:aws:ecr:eu-central-1:{ACCOUNT}:repository/a/b"),
        ("public.ecr.aws/x/y@sha256:00", None),
        ("local/safelight@sha256:00", None),
    ],
)
def test_a_repository_is_told_from_its_image(image: str, repository: str | None) -> None:
    """Account, region and name are in the address."""
    assert repository_of(image) == repository
