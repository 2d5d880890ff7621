"""The local stack killed with SIGKILL while uploads go on: nothing that was answered for is lost.

First the embedded AWS alone, then every process at once, `safelight up` included, and that twice.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random

import pytest

from tests.integration.job_uploads import clip
from tests.integration.running import COMMAND, Running, children, environment, stack, until
from tests.integration.test_chaos import check, recorded
from tests.unit.pictures import encoded, photo
from worker.bootstrap import Application
from worker.domain.asset import Status, asset_id_of
from worker.domain.errors import SafelightError
from worker.local.address import EVENTS
from worker.local.emulator import free_port

BETWEEN = 4
"""Uploads answered between two kills."""
PAUSE_SECONDS = 0.3
"""Between two uploads of a thread: more of them would show no more."""
SECONDS = 240
"""Of a busy machine; an idle one takes a sixth."""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc"),
    pytest.mark.timeout(SECONDS + 60),
]


class Uploads:
    """Somebody who uploads all the time, whatever becomes of the stack.

    One thread puts objects, as any S3 client does; another runs `safelight put --wait`.
    """

    def __init__(self, app: Application, data: Path, folder: Path) -> None:
        """Begin."""
        self.answered: dict[str, bytes] = {}
        """What S3 has answered with 200, by key."""
        self.promised: set[str] = set()
        """Assets of which the command has said that they are accepted."""
        self._app, self._data, self._folder = app, data, folder
        self._over = threading.Event()
        self._threads = [threading.Thread(target=one) for one in (self._put, self._wait)]
        for thread in self._threads:
            thread.start()

    def _put(self) -> None:
        number, bucket = 0, self._app.settings.intake_bucket
        while not self._over.wait(PAUSE_SECONDS):
            number += 1
            key = f"album {number % 7}/ü+{number}.jpg"
            data = encoded(photo(90 + number % 30, 70, seed=number), "JPEG", quality=85)
            if number % 10 == 0:
                data = data[: len(data) // 2]
            try:
                self._app.store.put(bucket, key, data, content_type="image/jpeg")
            except SafelightError:
                continue  # nobody has answered for it
            self.answered[key] = data

    def _wait(self) -> None:
        number = 10_000
        while not self._over.wait(PAUSE_SECONDS):
            number += 1
            path = self._folder / f"{number}.jpg"
            path.write_bytes(encoded(photo(120, 70, seed=number), "JPEG", quality=85))
            done = subprocess.run(
                [*COMMAND, "put", str(path), "--wait", "--json", "--data", str(self._data)],
                capture_output=True,
                text=True,
                check=False,
                env=environment(),
            )
            if done.returncode == 0:
                said = json.loads(done.stdout)
                assert said["status"] == "accepted"
                self.promised.add(said["asset"])
                self.answered[said["key"]] = path.read_bytes()

    def more(self) -> None:
        """Wait until some more are answered for."""
        before, end = len(self.answered), time.monotonic() + SECONDS
        while len(self.answered) < before + BETWEEN:
            assert time.monotonic() < end
            time.sleep(PAUSE_SECONDS)

    def stop(self) -> None:
        """End, once what is under way has been answered."""
        self._over.set()
        for thread in self._threads:
            thread.join()


def kill_all(running: Running) -> None:
    """SIGKILL to everything, too fast for anything to be saved or started again."""
    running.process.send_signal(signal.SIGSTOP)
    for pid in children(running.process.pid):
        os.kill(pid, signal.SIGKILL)
    running.process.kill()
    running.process.wait()


def settled(app: Application, answered: dict[str, bytes]) -> bool:
    """Whether every upload has a record that is final."""
    for key, data in answered.items():
        record = recorded(app, key, data)
        if record is None or record.status not in {Status.ACCEPTED, Status.REJECTED}:
            return False
    return True


def test_whatever_is_killed_nothing_answered_for_is_lost(tmp_path: Path) -> None:
    """Every upload that was answered with 200 ends with its record, and no verdict is forgotten."""
    data, port, dice = tmp_path / "data", free_port(), Random(20261129)
    with stack(data, port=port) as running:
        # The same client throughout: keys outlive their emulator.
        uploads = Uploads(running.app, data, tmp_path)
        try:
            if shutil.which("ffmpeg") is not None:
                video = running.json("put", clip(tmp_path))
            for _ in range(2):
                uploads.more()
                time.sleep(dice.uniform(0, 0.3))
                running.kill_emulator()
            uploads.more()
            kill_all(running)
            with stack(data, port=port) as second:
                uploads.more()
                kill_all(second)
            with stack(data, port=port) as third:
                uploads.more()
                uploads.stop()
                app, answered = third.app, uploads.answered
                if shutil.which("ffmpeg") is not None:
                    answered[video["key"]] = Path(video["file"]).read_bytes()
                end = time.monotonic() + SECONDS
                while not settled(app, answered):
                    assert time.monotonic() < end, f"{dead(third)} messages were given up"
                    time.sleep(0.2)
                finish(third, uploads)
        finally:
            uploads.stop()


def finish(running: Running, uploads: Uploads) -> None:
    """Verdicts, renditions, promises, events and dead letters, once all is at rest."""
    app = running.app
    videos = {key for key in uploads.answered if key.endswith(".mov")}
    for key, data in uploads.answered.items():
        if key not in videos:
            check(app, key, data)
    for key in videos:
        record = app.catalog.get(asset_id_of(app.settings.intake_bucket, key))
        assert record is not None
        assert record.status is Status.ACCEPTED
    assert uploads.promised
    for asset in uploads.promised | announced(running):
        record = app.catalog.get(asset)
        assert record is not None
        assert record.status is Status.ACCEPTED, asset
    bucket = app.settings.intake_bucket
    records = [app.catalog.get(asset_id_of(bucket, key)) for key in uploads.answered]
    accepted = {one.asset for one in records if one and one.status is Status.ACCEPTED}
    until(lambda: accepted <= announced(running))
    assert dead(running) == 0


def announced(running: Running) -> set[str]:
    """Assets of which an event has said that they are accepted."""
    lines = (running.data / EVENTS).read_text().splitlines()
    told = [json.loads(line) for line in lines]
    return {one["asset"] for one in told if one["type"] == "asset.accepted"}


def dead(running: Running) -> int:
    """Messages that were given up."""
    return sum(
        running.root_app.queue.depth(str(running.ready["outputs"][queue]))
        for queue in ("uploadsDeadLetters", "workDeadLetters")
    )
