"""IAM roles and the policies inside them."""

from __future__ import annotations

from worker.local.deploy.kinds.kind import Aws, Created, Declared, Kind


def _role(aws: Aws, declared: Declared) -> Created:
    name, trust = declared.physical_name, declared.inputs["assumeRolePolicy"]
    try:
        role = aws.iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=trust,
            Description=declared.inputs["description"],
            Tags=declared.tag_list,  # type: ignore[arg-type]
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
        PolicyDocument=declared.inputs["policy"],
    )
    return f"{role}:{declared.physical_name}", {"name": declared.physical_name}


KINDS = {
    "aws:iam/role:Role": Kind(
        _role, frozenset({"assumeRolePolicy", "description", "name", "tags"})
    ),
    "aws:iam/rolePolicy:RolePolicy": Kind(_role_policy, frozenset({"name", "policy", "role"})),
}
