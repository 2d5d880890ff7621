"""The life of a stack with Pulumi's own engine: the commands that a person runs, in order.

Two tests, in which each step needs the one before. The account is the emulator
(tests/engine/provider.py), the state is in files, the images are stand-ins
(tests/engine/images.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.engine.rig import Checkout, Said
from worker.infra import program, stack_file
from worker.local.emulator import Emulator

pytestmark = [pytest.mark.usefixtures("pulumi_programs"), pytest.mark.timeout(3600)]

BUCKET = "aws:s3/bucket:Bucket"
LIFECYCLE = "aws:ecr/lifecyclePolicy:LifecyclePolicy"
MAPPING = "aws:lambda/eventSourceMapping:EventSourceMapping"
QUEUE = "aws:sqs/queue:Queue"
TABLE = "aws:dynamodb/table:Table"
ORIGINAL = "originals/summer.jpg"


class Life:
    """The steps, in order.

    Args:
        checkout: a copy of this checkout, and an account with nothing in it.
        s3: the account's.
    """

    def __init__(self, checkout: Checkout, s3: Any) -> None:
        self._checkout = checkout
        self._s3 = s3
        self._bucket = ""

    def a_preview_makes_nothing(self) -> None:
        """Of a stack that is not there, with images that are not built; then it is deployed."""
        done = self._checkout.run("pulumi", "stack", "init", "dev", folder="pulumi")
        assert done.code == 0, done.text
        planned = self._good(self._checkout.make("preview")).changes["to create"]
        assert self._checkout.account() == []

        said = self._good(self._checkout.make("deploy", YES="1"))
        assert "1 of 4: the repositories\n" in said.text
        assert "2 of 4: building the images" in said.text
        assert planned == len(self._made()) + 1  # the stack itself
        assert self._made() == self._declared()

    def is_deployed(self) -> None:
        """For what comes after."""
        self._deploy()

    def nothing_is_done_twice(self) -> None:
        """Nothing is made, built, pushed or changed by a second deployment."""
        before = self._checkout.account()
        said = self._deploy()
        assert {*said.changes} == {"unchanged"}
        assert "2 and 3 of 4: the images of this commit are there" in said.text
        assert self._checkout.account() == before

    def a_change_touches_what_it_is_about(self) -> None:
        """The preview says it, and nothing but one mapping is updated."""
        before = self._checkout.account()
        self._checkout.configure(intake={"maximumConcurrency": 7})
        assert self._good(self._checkout.make("preview")).changes["to update"] == 1
        assert self._checkout.account() == before

        said = self._deploy()
        assert said.changes["updated"] == 1
        assert {*said.changes} == {"updated", "unchanged"}
        found = [one.properties.get("scalingConfig") for one in self._checkout.account(MAPPING)]
        assert {"maximumConcurrency": 7} in found

    def what_cannot_change_is_replaced(self) -> None:
        """The rules of a repository, which has one set of them; what reads an ordered queue."""
        self._checkout.configure(registry={"imagesKept": 12})
        said = self._deploy()
        assert said.changes["replaced"] == 2
        assert {*said.changes} == {"replaced", "unchanged"}
        rules = [one.properties["policy"] for one in self._checkout.account(LIFECYCLE)]
        assert len(rules) == 2
        assert all('"countNumber": 12' in one for one in rules)

        self._checkout.configure(intake={"ordering": "standard"})
        assert self._deploy().changes["replaced"] == 1
        queues = self._checkout.account(QUEUE)
        assert not [one.id for one in queues if one.properties.get("fifoQueue")]
        assert self._made() == self._declared()

    def what_is_guarded_is_not_destroyed(self) -> None:
        """Nothing is deleted then; whoever insists is refused by AWS, and can deploy again."""
        (self._bucket,) = [one.id for one in self._checkout.account(BUCKET) if "intake" in one.id]
        self._s3.put_object(Bucket=self._bucket, Key=ORIGINAL, Body=b"light")
        self._checkout.configure(catalog={"deletionProtection": True})
        self._deploy()
        before = self._checkout.account()
        said = self._checkout.make("destroy", YES="dev")
        assert said.code != 0
        assert "catalog.deletionProtection: false" in said.text
        assert self._checkout.account() == before

        said = self._checkout.make("destroy", YES="dev", GUARDS="ignore")
        assert said.code != 0
        assert "deletion protection is on" in said.text
        assert len(self._checkout.account(TABLE)) == 1
        self._checkout.configure(catalog={"deletionProtection": False})
        said = self._deploy()
        assert (
            "1 of 4: the repositories\n" in said.text
        )  # they are gone, the outputs still name them
        assert self._made() == self._declared()

    def destruction_keeps_the_originals(self) -> None:
        """Their bucket is all that is left; the next deployment takes it up again."""
        self._good(self._checkout.make("destroy", YES="dev"))
        left = self._checkout.account()
        assert [one.id for one in left if one.token == BUCKET] == [self._bucket]
        assert {one.properties.get("bucket") for one in left} == {self._bucket}
        original = self._s3.get_object(Bucket=self._bucket, Key=ORIGINAL)
        assert original["Body"].read() == b"light"

        said = self._good(self._checkout.make("destroy", YES="dev"))
        assert f"nothing is left of stack dev but the originals in s3://{self._bucket}" in said.text
        # The repositories are gone, though the stack's outputs may still name them.
        assert "1 of 4: the repositories\n" in self._deploy().text
        assert self._bucket in [one.id for one in self._checkout.account(BUCKET)]
        assert self._made() == self._declared()

    def the_originals_go_when_they_are_meant(self) -> None:
        """Then nothing stays."""
        words = {"ORIGINALS": "delete", "YES_ORIGINALS": self._bucket}
        self._good(self._checkout.make("destroy", YES="dev", **words))
        assert self._checkout.account() == []
        assert self._s3.list_buckets()["Buckets"] == []

    def _deploy(self) -> Said:
        # The emulator has no quotas to read, as the first deployment has said.
        return self._good(self._checkout.make("deploy", YES="1", QUOTAS="ignore"))

    def _good(self, said: Said) -> Said:
        assert said.code == 0, said.text
        return said

    def _made(self) -> set[str]:
        """URNs of all that the engine knows of the stack."""
        return {one.urn for one in self._checkout.state() if not one.type.startswith("pulumi:")}

    def _declared(self) -> set[str]:
        """URNs of all that the program declares, of the configuration as it is now."""
        file = stack_file.read(self._checkout.root / "pulumi" / "Pulumi.dev.yaml")
        declared = program.declare("dev", file.config, region=file.region)
        return {one.urn for one in declared.resources}


@pytest.fixture
def s3(account: Emulator) -> Iterator[Any]:
    """S3 of the account."""
    given = account.environment
    client = boto3.client(
        "s3",
        endpoint_url=account.endpoint,
        region_name=given["AWS_REGION"],
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
    )
    yield client
    client.close()


@pytest.fixture
def life(tmp_path: Path, account: Emulator, s3: Any) -> Life:
    """Of a stack that is not there yet, in an account of its own."""
    return Life(Checkout(tmp_path / "made", account), s3)


def test_a_stack_is_deployed_and_changed(life: Life) -> None:
    """Preview, deployment, nothing to do, a change, replacements."""
    life.a_preview_makes_nothing()
    life.nothing_is_done_twice()
    life.a_change_touches_what_it_is_about()
    life.what_cannot_change_is_replaced()


def test_a_stack_is_destroyed(life: Life) -> None:
    """Refusals first; then everything but the originals goes, and at last those."""
    life.is_deployed()
    life.what_is_guarded_is_not_destroyed()
    life.destruction_keeps_the_originals()
    life.the_originals_go_when_they_are_meant()
