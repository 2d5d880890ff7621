"""What is said about repositories, budgets and the watch for unusual spending."""

from __future__ import annotations

from tests.infra.declared import Declaration, declare


def test_repositories_keep_tags_and_drop_old_images(ordered: Declaration) -> None:
    """Tags never move, pushes are scanned, and what nobody needs goes."""
    for repository in ordered.of("ecr/Repository"):
        assert repository.inputs["imageTagMutability"] == "IMMUTABLE"
        assert repository.inputs["imageScanningConfiguration"] == {"scanOnPush": True}
    for policy in ordered.of("ecr/LifecyclePolicy"):
        first, second = policy.document("policy")["rules"]
        assert first["selection"]["tagStatus"] == "untagged"
        assert second["selection"]["countNumber"] == 30


def test_lambda_may_pull_for_this_account_only(ordered: Declaration) -> None:
    """Batch pulls with its machines' role and needs no policy here."""
    (policy,) = ordered.of("ecr/RepositoryPolicy")
    (statement,) = policy.statements()

    assert policy.name == "image-lambda"
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


def test_nobody_is_told_unless_asked_for(ordered: Declaration) -> None:
    """Both parts are off by default."""
    assert not ordered.of("budgets/Budget")
    assert not ordered.of("costexplorer/AnomalyMonitor")


def test_a_budget_warns_of_the_forecast_and_of_what_is_spent() -> None:
    """For this stack's tag, to the address that was given."""
    declared = declare({"cost": {"monthlyBudget": 250, "email": "who@example.com"}})
    (budget,) = declared.of("budgets/Budget")

    assert (budget.inputs["limitAmount"], budget.inputs["limitUnit"]) == ("250", "USD")
    assert budget.inputs["costFilters"] == [{"name": "TagKeyValue", "values": ["user:Stack$test"]}]
    assert [
        (one["notificationType"], one["threshold"]) for one in budget.inputs["notifications"]
    ] == [("FORECASTED", 100), ("ACTUAL", 80), ("ACTUAL", 100)]
    assert {
        address
        for one in budget.inputs["notifications"]
        for address in one["subscriberEmailAddresses"]
    } == {"who@example.com"}


def test_unusual_spending_is_told_from_a_sum_on() -> None:
    """A watch on this project's tag."""
    declared = declare({"cost": {"anomalyDollars": 40, "email": "who@example.com"}})
    (subscription,) = declared.of("costexplorer/AnomalySubscription")

    assert subscription.inputs["thresholdExpression"]["dimension"]["values"] == ["40"]
    assert subscription.inputs["subscribers"] == [{"type": "EMAIL", "address": "who@example.com"}]
