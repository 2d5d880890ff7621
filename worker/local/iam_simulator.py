"""Evaluates the permissions of a role where the local stack acts in place of an AWS service.

A pipe asks Lambda, a state machine asks Batch: on AWS those services check the role. The local
stack calls the function and runs the job itself, and so first asks the embedded AWS whether the
deployed role allows it (``iam:SimulatePrincipalPolicy``). Calls that reach the embedded AWS are
checked there.
"""

from __future__ import annotations

from collections.abc import Callable

from worker.adapters.aws.clients import call_log
from worker.adapters.aws.errors import aws_call
from worker.domain.errors import AccessDenied
from worker.local.roles import RootClients

Require = Callable[[str, str], None]
"""Given an action and the ARN it is done to. Raises ``AccessDenied``."""


def allow_all(_action: str, _resource: str) -> None:
    """Where there are no roles."""


class IamSimulator:
    """The rights of one role.

    Args:
        clients: whose identity may ask.
        role: ARN.
    """

    def __init__(self, clients: RootClients, role: str) -> None:
        self._clients, self._role = clients, role
        self._log = call_log(role.rpartition("/")[2])
        self._known: set[tuple[str, str]] = set()

    def require(self, action: str, resource: str) -> None:
        """Raise ``AccessDenied`` unless the role allows an action on a resource.

        A yes is remembered for the life of the process, as a deploy starts none anew.
        """
        service, _, operation = action.partition(":")
        if self._log is not None:
            self._log.write(service, operation, {"Arn": resource})
        if (action, resource) in self._known:
            return
        with aws_call(f"ask whether {self._role} may {action}"):
            answer = self._clients.iam.simulate_principal_policy(
                PolicySourceArn=self._role, ActionNames=[action], ResourceArns=[resource]
            )
        decision = answer["EvaluationResults"][0]["EvalDecision"]
        if decision != "allowed":
            raise AccessDenied(f"{self._role} may not {action} on {resource}: {decision}")
        self._known.add((action, resource))
