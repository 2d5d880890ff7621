"""``python worker/local/durable``, by the emulator's own Python: run it as ``ministack`` does."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Patch ministack, then run it by the variables that it has itself."""
    here = Path(__file__).parent
    # Behind everything of the emulator's own environment, and only for this package.
    sys.path.append(str(here.parents[2]))
    from worker.local.durable import indexes, rows, services, streams
    from worker.local.durable.store import NAME, Store, answering

    sys.path.remove(str(here.parents[2]))
    sys.path.remove(str(here))

    store = Store(Path(os.environ["STATE_DIR"]) / NAME)
    if not store.was_closed:
        # Before objects are read, which is at the import.
        services.undo_cut_off_writes(Path(os.environ["S3_DATA_DIR"]))
    app: Any = importlib.import_module("ministack.app")
    services.keep_services(app, importlib.import_module("ministack.core.persistence"), store)
    dynamodb = app._get_module("dynamodb")
    rows.keep_tables(dynamodb, store)
    indexes.keep_order(dynamodb)
    responses = importlib.import_module("ministack.core.responses")
    streams.keep_streams(dynamodb, responses, store)
    rows.keep_queues(app._get_module("sqs"), store)
    services.keep_objects(app._get_module("s3"), store)
    services.keep_sessions(app._get_module("sts"))
    services.forget_events(app._get_module("eventbridge"))
    stepfunctions = app._get_module("stepfunctions")
    rows.keep_tokens_apart(stepfunctions)
    start_again = rows.keep_executions(stepfunctions, responses, store)
    app.app = answering(app.app, store, start_again)
    app.main()


if __name__ == "__main__":
    main()
