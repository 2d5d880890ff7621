"""The network that machines for heavy work stand in, and how the machines begin (EC2).

Made so that what names them elsewhere (compute environments) names something; no machine ever
starts. Ids say nothing here, so each carries a tag by which a later deploy takes it over as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from worker.local.deploy.kinds.kind import MARK, Aws, Created, Declared, Kind, camel_to_pascal

Make = Callable[[Aws, Declared, Mapping[str, Any]], str]
"""Makes a resource of its name and inputs, and answers with its id."""


def _vpc(aws: Aws, _declared: Declared, inputs: Mapping[str, Any]) -> str:
    vpc: str = aws.ec2.create_vpc(CidrBlock=inputs["cidrBlock"])["Vpc"]["VpcId"]
    for switch in ("EnableDnsSupport", "EnableDnsHostnames"):
        asked = {switch: {"Value": bool(inputs[switch[:1].lower() + switch[1:]])}}
        aws.ec2.modify_vpc_attribute(VpcId=vpc, **asked)
    return vpc


def _subnet(aws: Aws, _declared: Declared, inputs: Mapping[str, Any]) -> str:
    subnet: str = aws.ec2.create_subnet(
        VpcId=inputs["vpcId"],
        CidrBlock=inputs["cidrBlock"],
        AvailabilityZone=inputs["availabilityZone"],
    )["Subnet"]["SubnetId"]
    aws.ec2.modify_subnet_attribute(
        SubnetId=subnet, MapPublicIpOnLaunch={"Value": bool(inputs["mapPublicIpOnLaunch"])}
    )
    return subnet


def _route_table(aws: Aws, _declared: Declared, inputs: Mapping[str, Any]) -> str:
    made: str = aws.ec2.create_route_table(VpcId=inputs["vpcId"])["RouteTable"]["RouteTableId"]
    return made


def _gateway(aws: Aws, _declared: Declared, inputs: Mapping[str, Any]) -> str:
    made: str = aws.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    aws.ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=inputs["vpcId"])
    return made


def _security_group(aws: Aws, declared: Declared, inputs: Mapping[str, Any]) -> str:
    made: str = aws.ec2.create_security_group(
        GroupName=declared.physical_name,
        Description=inputs["description"],
        VpcId=inputs["vpcId"],
    )["GroupId"]
    # EC2 lets everything out of a new group; the program says what goes out.
    with contextlib.suppress(aws.ec2.exceptions.ClientError):
        aws.ec2.revoke_security_group_egress(
            GroupId=made,
            IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
        )
    if inputs.get("ingress"):
        aws.ec2.authorize_security_group_ingress(
            GroupId=made, IpPermissions=[_permission(rule) for rule in inputs["ingress"]]
        )
    if inputs.get("egress"):
        aws.ec2.authorize_security_group_egress(
            GroupId=made, IpPermissions=[_permission(rule) for rule in inputs["egress"]]
        )
    return made


def _default_group(aws: Aws, declared: Declared) -> Created:
    """The group that a network comes with, stripped of what the program does not say."""
    inputs, ec2 = declared.inputs, aws.ec2
    of_vpc = [
        {"Name": "vpc-id", "Values": [inputs["vpcId"]]},
        {"Name": "group-name", "Values": ["default"]},
    ]
    (found,) = ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"]
    group = str(found["GroupId"])
    if inputs.get("ingress") or inputs.get("egress"):
        raise NotImplementedError("the local stack only empties a network's default group")
    if found["IpPermissions"]:
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=found["IpPermissions"])
    if found["IpPermissionsEgress"]:
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=found["IpPermissionsEgress"])
    return group, {"arn": aws.arn("ec2", f"security-group/{group}")}


def _permission(rule: Mapping[str, Any]) -> Any:
    said = {"Description": rule["description"]} if "description" in rule else {}
    return {
        "IpProtocol": rule["protocol"],
        "FromPort": rule["fromPort"],
        "ToPort": rule["toPort"],
        "IpRanges": [{"CidrIp": block, **said} for block in rule.get("cidrBlocks", ())],
        "UserIdGroupPairs": [
            {"GroupId": group, **said} for group in rule.get("securityGroups", ())
        ],
        "PrefixListIds": [{"PrefixListId": one, **said} for one in rule.get("prefixListIds", ())],
    }


def _endpoint(aws: Aws, _declared: Declared, inputs: Mapping[str, Any]) -> str:
    asked = {name: inputs[name] for name in _ENDPOINT if name in inputs}
    made = aws.ec2.create_vpc_endpoint(**camel_to_pascal(asked))
    return str(made["VpcEndpoint"]["VpcEndpointId"])


def _endpoint_with_list(aws: Aws, declared: Declared) -> Created:
    """With the list of the service's addresses, by which security groups let its traffic out."""
    identity, computed = _ENDPOINTS.create(aws, declared)
    name = [{"Name": "prefix-list-name", "Values": [declared.inputs["serviceName"]]}]
    lists = aws.ec2.describe_prefix_lists(Filters=name)["PrefixLists"]
    # A service that is reached through an interface has none.
    found = {"prefixListId": lists[0]["PrefixListId"]} if lists else {}
    return identity, {**computed, **found}


_ENDPOINT = (
    *("vpcId", "serviceName", "vpcEndpointType", "routeTableIds"),
    *("privateDnsEnabled", "subnetIds", "securityGroupIds"),
)


def _template(aws: Aws, declared: Declared, inputs: Mapping[str, Any]) -> str:
    data = {name: inputs[name] for name in _TEMPLATE if name in inputs}
    data["blockDeviceMappings"] = [_device(one) for one in inputs.get("blockDeviceMappings", ())]
    wanted = camel_to_pascal(data)
    wanted["TagSpecifications"] = [
        {
            "ResourceType": one["resourceType"],
            "Tags": [{"Key": key, "Value": text} for key, text in one["tags"].items()],
        }
        for one in inputs.get("tagSpecifications", ())
    ]
    made = aws.ec2.create_launch_template(
        LaunchTemplateName=declared.physical_name, LaunchTemplateData=wanted
    )
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


_TEMPLATE = ("metadataOptions", "imageId", "userData")


def _device(mapping: Mapping[str, Any]) -> dict[str, Any]:
    disk = mapping["ebs"]
    # Text in Pulumi, because there it may also be unknown.
    switches = {
        name: str(disk[name]).lower() == "true"
        for name in ("encrypted", "deleteOnTermination")
        if name in disk
    }
    return {**mapping, "ebs": {**disk, **switches}}


def _marked(kind: str, make: Make, *inputs: str) -> Kind:
    """A resource that carries a tag to be found again by."""

    def create(aws: Aws, declared: Declared) -> Created:
        mark = f"{kind} {declared.name}"
        made = aws.marked.get(mark)
        if made is None:
            made = make(aws, declared, declared.inputs)
            tags = [*declared.tag_list, {"Key": MARK, "Value": mark}]
            aws.ec2.create_tags(Resources=[made], Tags=tags)
        resource = {"launch_template": "launch-template", "security_group": "security-group"}
        arn = aws.arn("ec2", f"{resource.get(kind, kind)}/{made}")
        return made, {"arn": arn, "name": declared.physical_name}

    return Kind(create, frozenset({*inputs, "name", "tags"}))


def _route(aws: Aws, declared: Declared) -> Created:
    inputs = declared.inputs
    table, block = inputs["routeTableId"], inputs["destinationCidrBlock"]
    with contextlib.suppress(
        aws.ec2.exceptions.ClientError
    ):  # RouteAlreadyExists has no class of its own
        aws.ec2.create_route(
            RouteTableId=table, DestinationCidrBlock=block, GatewayId=inputs["gatewayId"]
        )
    return f"{table}_{block}", {}


def _association(aws: Aws, declared: Declared) -> Created:
    table, subnet = declared.inputs["routeTableId"], declared.inputs["subnetId"]
    found = aws.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]
    for one in found["Associations"]:
        if one.get("SubnetId") == subnet:
            return one["RouteTableAssociationId"], {}
    made = aws.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    return made["AssociationId"], {}


_ENDPOINTS = _marked("vpc-endpoint", _endpoint, *_ENDPOINT)

KINDS = {
    "aws:ec2/vpc:Vpc": _marked("vpc", _vpc, "cidrBlock", "enableDnsHostnames", "enableDnsSupport"),
    "aws:ec2/subnet:Subnet": _marked(
        "subnet", _subnet, "availabilityZone", "cidrBlock", "mapPublicIpOnLaunch", "vpcId"
    ),
    "aws:ec2/routeTable:RouteTable": _marked("route-table", _route_table, "vpcId"),
    "aws:ec2/internetGateway:InternetGateway": _marked("internet-gateway", _gateway, "vpcId"),
    "aws:ec2/securityGroup:SecurityGroup": _marked(
        "security_group", _security_group, "description", "egress", "ingress", "vpcId"
    ),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": Kind(
        _default_group, frozenset({"egress", "ingress", "tags", "vpcId"})
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Kind(_endpoint_with_list, _ENDPOINTS.inputs),
    "aws:ec2/launchTemplate:LaunchTemplate": _marked(
        "launch_template",
        _template,
        *_TEMPLATE,
        "blockDeviceMappings",
        "tagSpecifications",
        "updateDefaultVersion",
    ),
    "aws:ec2/route:Route": Kind(
        _route, frozenset({"destinationCidrBlock", "gatewayId", "routeTableId"})
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Kind(
        _association, frozenset({"routeTableId", "subnetId"})
    ),
}
