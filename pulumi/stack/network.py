"""Networks of this stack, each alone: no gateway in them is paid by the gigabyte.

S3 and DynamoDB are reached through gateway endpoints, which cost nothing; that is where the bytes
go. Machines for heavy work need more (image pulls, logs, the container agent): an internet gateway,
to which only the machines themselves open connections, or, with ``private_network``, interface
endpoints at about $7 a month each and zone.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws
from pulumi_aws import ec2

from stack.scope import Scope

BLOCK = "10.64.0.0/16"
"""Private addresses: there is no route from here to another network."""
INTERFACES = ("ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry", "logs")
"""AWS services that a machine of Batch calls in addition to S3 and DynamoDB (Amazon ECS Developer
Guide, "Amazon ECS interface VPC endpoints")."""


class Network(pulumi.ComponentResource):
    """A network of its own with a subnet in each zone, from which S3 and DynamoDB are reached.

    Args:
        name: of the component and of what is in it.
        scope: names and tags.
        component: for the tags.
        zones: how many.
        public: whether what starts in it gets a public address.
        opts: of the component.
    """

    def __init__(
        self,
        name: str,
        scope: Scope,
        *,
        component: str,
        zones: int,
        public: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:network:Network", name, None, opts)
        self._name = name
        self._own = pulumi.ResourceOptions(parent=self)
        self._tags = {**scope.tags(component), "Name": name}
        self._vpc = ec2.Vpc(
            name,
            cidr_block=BLOCK,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=self._tags,
            opts=self._own,
        )
        # Every network comes with a group that lets its members talk to each other. Ours has no
        # members and no rules.
        ec2.DefaultSecurityGroup(
            name, vpc_id=self._vpc.id, ingress=[], egress=[], tags=self._tags, opts=self._own
        )
        self._routes = ec2.RouteTable(name, vpc_id=self._vpc.id, tags=self._tags, opts=self._own)
        self.subnets = self._subnets(zones, public=public)
        self._region = aws.get_region().region
        gateways = [
            ec2.VpcEndpoint(
                f"{name}-{service}",
                vpc_id=self._vpc.id,
                service_name=f"com.amazonaws.{self._region}.{service}",
                vpc_endpoint_type="Gateway",
                route_table_ids=[self._routes.id],
                tags=self._tags,
                opts=self._own,
            )
            for service in ("s3", "dynamodb")
        ]
        self.stores = [one.prefix_list_id for one in gateways]
        """Addresses of S3 and DynamoDB, as lists that rules of security groups can name."""
        self.register_outputs({})

    def group(
        self,
        name: str,
        description: str,
        *,
        ingress: Sequence[ec2.SecurityGroupIngressArgs] = (),
        egress: Sequence[ec2.SecurityGroupEgressArgs] = (),
    ) -> ec2.SecurityGroup:
        """A security group in this network."""
        return ec2.SecurityGroup(
            name,
            description=description,
            vpc_id=self._vpc.id,
            ingress=list(ingress),
            egress=list(egress),
            tags=self._tags,
            opts=self._own,
        )

    def for_machines(self, *, private: bool) -> ec2.SecurityGroup:
        """The security group of machines for heavy work, with their way out."""
        machines = self.group(
            self._name,
            "Machines for heavy work: nothing comes in",
            egress=[
                ec2.SecurityGroupEgressArgs(
                    description="S3, DynamoDB, image pulls, logs",
                    protocol="tcp",
                    from_port=443,
                    to_port=443,
                    # In a private network all that can be reached has a name: the interfaces have
                    # addresses in it, the gateways lists of theirs.
                    cidr_blocks=[BLOCK] if private else ["0.0.0.0/0"],
                    prefix_list_ids=self.stores if private else None,
                )
            ],
        )
        if private:
            self._interfaces(machines)
        else:
            self._way_out()
        return machines

    def _subnets(self, zones: int, *, public: bool) -> Sequence[pulumi.Output[str]]:
        names = aws.get_availability_zones(
            state="available",
            # Local zones have few machines and no Spot to speak of.
            filters=[
                aws.GetAvailabilityZonesFilterArgs(
                    name="opt-in-status", values=["opt-in-not-required"]
                )
            ],
        ).names[:zones]
        found = []
        for number, zone in enumerate(names):
            subnet = ec2.Subnet(
                f"{self._name}-{number + 1}",
                vpc_id=self._vpc.id,
                availability_zone=zone,
                cidr_block=f"10.64.{number * 16}.0/20",
                map_public_ip_on_launch=public,
                tags=self._tags,
                opts=self._own,
            )
            ec2.RouteTableAssociation(
                f"{self._name}-{number + 1}",
                subnet_id=subnet.id,
                route_table_id=self._routes.id,
                opts=self._own,
            )
            found.append(subnet.id)
        return found

    def _way_out(self) -> None:
        gateway = ec2.InternetGateway(
            self._name, vpc_id=self._vpc.id, tags=self._tags, opts=self._own
        )
        ec2.Route(
            self._name,
            route_table_id=self._routes.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=self._own,
        )

    def _interfaces(self, machines: ec2.SecurityGroup) -> None:
        answers = self.group(
            f"{self._name}-endpoints",
            "Endpoints: machines for heavy work come in",
            ingress=[
                ec2.SecurityGroupIngressArgs(
                    description="From the machines",
                    protocol="tcp",
                    from_port=443,
                    to_port=443,
                    security_groups=[machines.id],
                )
            ],
        )
        for service in INTERFACES:
            ec2.VpcEndpoint(
                f"{self._name}-{service.replace('.', '-')}",
                vpc_id=self._vpc.id,
                service_name=f"com.amazonaws.{self._region}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=self.subnets,
                security_group_ids=[answers.id],
                tags=self._tags,
                opts=self._own,
            )
