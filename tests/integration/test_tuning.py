"""Power tuning on the embedded AWS: real ETags, versions, indexes and notifications."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.container.emulated import Cloud, cloud, event
from tests.unit.test_ingest_handler import Clock
from tests.unit.test_tune import FUNCTION, PHOTOS, PowerTuning, work_ms
from worker.entrypoints.lambda_ingest import handle
from worker.ports import Message
from worker.services.tune import FunctionFacts, Tuning

pytestmark = pytest.mark.timeout(180)


class LiveFunction:
    """The function that the queue feeds, called whenever somebody waits."""

    def __init__(self, aws: Cloud) -> None:
        """Nothing has come yet."""
        self._aws = aws
        self.handled: list[Message] = []
        self.now = 0.0

    def pause(self, seconds: float) -> None:
        """Let time pass: the function handles what is in the queue."""
        self.now += seconds
        app = self._aws.app
        messages = app.queue.receive(app.settings.queue_url, limit=10, wait=1, visibility=600)
        if messages:
            answer = handle(event(list(messages)), Clock(), app)  # type: ignore[arg-type]
            assert answer == {"batchItemFailures": []}
            app.queue.delete(app.settings.queue_url, messages)
            self.handled += messages


def test_uploads_of_a_tuning_are_new_to_the_function_each_time(tmp_path: Path) -> None:
    """The live function has worked on each before; the tuned one makes it anew; all is removed."""
    with cloud(tmp_path) as aws:
        live = LiveFunction(aws)
        written: list[str] = []

        def tuned(given: Mapping[str, Any]) -> Any:
            before = {one.asset for one in aws.app.catalog.list_assets(limit=500).records}
            answer = handle(dict(given), Clock(), aws.app)  # type: ignore[arg-type]
            after = aws.app.catalog.list_assets(limit=500).records
            written.extend(one.source.key for one in after if one.asset not in before)
            return answer

        found = Tuning(
            store=aws.app.store,
            catalog=aws.app.catalog,
            runs=PowerTuning(tuned),
            facts=lambda: FunctionFacts(memory=1769, architecture="arm64", log_format="Text"),
            erase=aws.app.eraser().erase_all,
            function=FUNCTION,
            bucket=aws.app.settings.intake_bucket,
            run="r1",
            pause=live.pause,
            clock=lambda: live.now,
        ).measure(PHOTOS, (1024, 1769), each=5, batch=2, today="2026-11-30")

        assert [one.seconds for one in found.points] == [
            pytest.approx(work_ms(size) / 1000) for size in (1024, 1769)
        ]
        assert len(written) == len(set(written)) == 20
        assert aws.app.catalog.list_assets(limit=500).records == ()
        settings = aws.app.settings
        assert list(aws.app.store.all_versions(settings.intake_bucket, "tuning/")) == []
        left = [one.key for one in aws.app.store.list(settings.delivery_bucket)]
        assert [key for key in left if not key.startswith("recipes/")] == []
