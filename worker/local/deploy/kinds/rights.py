"""IAM roles, the policies inside them and attached to them, and profiles of machines."""

from __future__ import annotations

import contextlib

from worker.local.deploy import adapted
from worker.local.deploy.kinds.kind import Aws, Created, Declared, Kind


def _role(aws: Aws, declared: Declared) -> Created:
    name = declared.physical_name
    trust = adapted.trust(declared.inputs["assumeRolePolicy"], aws.account)
    try:
        role = aws.iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=trust,
            Description=declared.inputs["description"],
            Tags=declared.tag_list,
        )["Role"]
    except aws.iam.exceptions.EntityAlreadyExistsException:
        aws.iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
        role = aws.iam.get_role(RoleName=name)["Role"]
    return name, {"name": name, "arn": role["Arn"]}


def _role_policy(aws: Aws, declared: Declared) -> Created:
    role = declared.inputs["role"]
    aws.iam.put_role_policy(
        RoleName=role,
        PolicyName=declared.physical_name,
        PolicyDocument=adapted.rights(declared.inputs["policy"]),
    )
    return f"{role}:{declared.physical_name}", {"name": declared.physical_name}


def _attachment(aws: Aws, declared: Declared) -> Created:
    role, policy = declared.inputs["role"], declared.inputs["policyArn"]
    aws.iam.attach_role_policy(RoleName=role, PolicyArn=policy)
    return f"{role}-{declared.name}", {}


def _profile(aws: Aws, declared: Declared) -> Created:
    name = declared.physical_name
    with contextlib.suppress(aws.iam.exceptions.EntityAlreadyExistsException):
        aws.iam.create_instance_profile(
            InstanceProfileName=name,
            Tags=declared.tag_list,
        )
    profile = aws.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    if not profile["Roles"]:
        aws.iam.add_role_to_instance_profile(
            InstanceProfileName=name, RoleName=declared.inputs["role"]
        )
    return name, {"name": name, "arn": profile["Arn"]}


KINDS = {
    "aws:iam/role:Role": Kind(
        _role, frozenset({"assumeRolePolicy", "description", "name", "tags"})
    ),
    "aws:iam/rolePolicy:RolePolicy": Kind(_role_policy, frozenset({"name", "policy", "role"})),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": Kind(
        _attachment, frozenset({"policyArn", "role"})
    ),
    "aws:iam/instanceProfile:InstanceProfile": Kind(_profile, frozenset({"name", "role", "tags"})),
}
