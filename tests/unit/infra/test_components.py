"""Components, what refers to what, and how page and graph show it."""

from __future__ import annotations

from tests.unit.infra.declared import component, declaration, resource
from worker.infra import page
from worker.infra.page import Components


def small() -> Components:
    """A bucket, a function that reads it, alarms on the function; and something on its own."""
    storage = component("storage:Buckets", "storage")
    private = component("storage:PrivateBucket", "intake", parent=storage)
    bucket = resource("s3/Bucket", "intake", {"tags": {}}, parent=private)
    policy = resource("s3/BucketPolicy", "intake", parent=private, needs=(bucket,))
    intake = component("intake:Intake", "intake")
    function = resource(
        "lambda/Function",
        "ingest",
        {"tags": {}, "description": "Turns <uploads> & more"},
        parent=intake,
        needs=(bucket, policy),
    )
    watch = component("observability:Observability", "watch")
    alarms = [
        resource("cloudwatch/MetricAlarm", f"alarm-{n}", {"tags": {}}, parent=watch, needs=(one,))
        for n, one in enumerate((function, function, bucket, function))
    ]
    summary = resource(
        "cloudwatch/CompositeAlarm", "all", {"tags": {}}, parent=watch, needs=tuple(alarms)
    )
    return page.components(
        declaration(
            *(storage, private, bucket, policy, intake, function, watch, *alarms, summary),
            component("cost:CostControls", "cost"),
            resource("pulumi:providers:aws", "america"),
        )
    )


def test_resources_belong_to_the_outermost_component() -> None:
    """Those on the stack itself have a place, too."""
    assert {one.name: len(one.parts) for one in small().all} == {
        "cost": 0,
        "intake": 1,
        "storage": 2,
        "the stack itself": 1,
        "watch": 5,
    }


def test_components_refer_to_each_other_as_their_resources_do() -> None:
    """Not to themselves."""
    assert small().references == {
        ("intake", "storage"),
        ("watch", "intake"),
        ("watch", "storage"),
    }


def test_a_component_is_for_what_its_class_says() -> None:
    """The first paragraph of its docstring, in the program."""
    by_name = {one.name: one for one in small().all}

    assert by_name["storage"].purpose == "Intake, delivery and quarantine."
    assert list(by_name["storage"].inner) == ["PrivateBucket"]
    assert by_name["the stack itself"].purpose == ""


def test_a_resource_is_for_what_it_says_of_itself() -> None:
    """Else what its component is for; the graph draws what can be tagged."""
    by_name = {one.name: one for one in small().all}
    (function,) = by_name["intake"].parts
    bucket, policy = by_name["storage"].parts

    assert function.purpose == "Turns <uploads> & more"
    assert (bucket.drawn, policy.drawn) == (True, False)
    assert bucket.within == "PrivateBucket intake"


def test_the_page_lists_every_resource() -> None:
    """With what it refers to; many of a kind are counted."""
    text = page.write(small())

    assert "9 resources in 5 components" in text
    assert "| [watch](#watch) | 5 | [intake](#intake), [storage](#storage) |" in text
    assert (
        "| `lambda/Function` | ingest |  | Turns <uploads> & more |"
        " storage: Bucket intake; storage: BucketPolicy intake |"
    ) in text
    assert "| `cloudwatch/CompositeAlarm` | all |  |  | 4 MetricAlarm |" in text
    assert "Nothing in this stack." in text


def test_the_graph_has_a_node_for_each_component_and_an_arrow_for_each_reference() -> None:
    """Markup of Mermaid is escaped, and redundant arrows are omitted."""
    assert page.mermaid(small()) == (
        "flowchart TB\n"
        '  c0["<b>cost</b>"]\n'
        '  c1["<b>intake</b><br/>Function ingest"]\n'
        '  c2["<b>storage</b><br/>Bucket intake"]\n'
        '  c3["<b>the stack itself</b>"]\n'
        '  c4["<b>watch</b><br/>CompositeAlarm all<br/>4 MetricAlarm"]\n'
        "  c1 --> c2\n"
        "  c4 --> c1\n"
    )


def test_names_cannot_leave_their_label() -> None:
    """A quotation mark ends a label in Mermaid, an angle bracket begins markup."""
    named = page.components(declaration(component("cost:CostControls", 'a"]<b>&')))

    assert '"<b>a&quot;]&lt;b&gt;&amp;</b>"' in page.mermaid(named)
