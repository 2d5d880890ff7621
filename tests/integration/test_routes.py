"""The ways of an upload on a mobile line: 300 ms away or at the nearest edge, lossy and cut.

Beyond the line all is real: a local stack that checks signatures, and for the distribution its
function in njs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.edge.engines import needs_njs
from tests.integration.api_client import ApiClient, use
from tests.integration.edge_server import KEY, distribution
from tests.integration.running import Running, picture
from tests.integration.test_client import PART, behind, bodies, check_bytes, noise, quarantined
from tests.integration.weak_line import LossyLine, WeakLine
from tests.servers import serving_app
from worker.adapters.aws.clients import AwsClients
from worker.bootstrap import assemble
from worker.client import ApiError, Client
from worker.domain.asset import UploadRoute
from worker.entrypoints.api.app import ApiServices, create

MEGABIT = 1_000_000 / 8
FAR, NEAR = 0.3, 0.06
"""Round trips in seconds: to a region on another continent, and to an edge in the same country."""
pytestmark = needs_njs
WAYS = pytest.mark.parametrize(
    ("route", "round_trip"),
    [("direct", FAR), ("distribution", NEAR)],
)


@pytest.fixture
def access(running: Running) -> Iterator[tuple[str, str]]:
    """An API that offers both ways, and a token."""
    token = running.json("api", "token", "--owner", "ann")["token"]
    with distribution(running) as edge:
        settings = replace(
            running.root_app.settings,
            upload_routes=(UploadRoute.DIRECT, UploadRoute.DISTRIBUTION),
            upload_key=KEY,
            delivery_url=edge,
        )
        services = ApiServices(app=assemble(settings, AwsClients(running.root)))
        with serving_app(create(lambda: services)) as api:
            yield api, token


def line(round_trip: float, cut_every: float = 20.0) -> LossyLine:
    """1 Mbit/s, 3 % loss."""
    return LossyLine(rate=MEGABIT, round_trip=round_trip, loss=0.03, cut_every=cut_every)


@WAYS
def test_photos_arrive_in_one_request_each(
    running: Running, access: tuple[str, str], tmp_path: Path, route: str, round_trip: float
) -> None:
    """1 Mbit/s: what a cut has caught is sent again, and nothing else."""
    weak = line(round_trip)
    files = [noise(tmp_path / f"photo-{number}.bin", 1_000_000 + number) for number in range(3)]
    with weak.serving() as proxy, Client(*access, http=behind(proxy), pause=0.001) as api:
        assets = [api.upload(one, method="put", route=route) for one in files]  # type: ignore[arg-type]
        for one in assets:
            api.wait(one)

    for asset, file in zip(assets, files, strict=True):
        assert quarantined(running, asset) == file.read_bytes()
    assert weak.cuts >= 1
    for requests in bodies(weak).values():
        assert [one.answered for one in requests] == [False] * (len(requests) - 1) + [True]
    again = sum(one.passed for requests in bodies(weak).values() for one in requests[:-1])
    assert again <= weak.cuts * 1_000_002


@WAYS
def test_a_video_arrives_in_parts(
    running: Running, access: tuple[str, str], tmp_path: Path, route: str, round_trip: float
) -> None:
    """1 Mbit/s, on which the smallest part of S3 takes 72 s directly: it is cut every 90 s."""
    weak = line(round_trip, cut_every=90.0)
    file = noise(tmp_path / "video.bin", 3 * PART + 9)
    with weak.serving() as proxy, Client(*access, http=behind(proxy), pause=0.001) as api:
        asset = api.upload(file, rate=int(MEGABIT), route=route)  # type: ignore[arg-type]
        api.wait(asset)

    assert quarantined(running, asset) == file.read_bytes()
    assert weak.cuts >= 1
    check_bytes(weak, file.stat().st_size)


def test_the_edge_is_sooner_where_packets_are_lost(access: tuple[str, str], tmp_path: Path) -> None:
    """The same bytes on the same line: a lost packet costs a round trip, which is shorter there."""
    seconds = {}
    for route, round_trip in (("direct", FAR), ("distribution", NEAR)):
        weak = LossyLine(rate=MEGABIT, round_trip=round_trip, loss=0.03, cut_every=1e9)
        with weak.serving() as proxy, Client(*access, http=behind(proxy)) as api:
            api.upload(noise(tmp_path / f"{route}.bin", 1_000_000), route=route)  # type: ignore[arg-type]
        seconds[route] = weak.seconds

    assert 8 < seconds["distribution"] < seconds["direct"] * 0.8


def test_a_part_that_no_line_carries_waits_for_a_better_one(
    running: Running, access: tuple[str, str], tmp_path: Path
) -> None:
    """5 MiB take 42 s at 1 Mbit/s, and S3 takes no smaller part: cut every 20 s, none arrives. The
    client says so in the end, and the next call goes on where it was."""
    file, state = noise(tmp_path / "stuck.bin", PART + 9), tmp_path / "state.json"
    weak, better = line(FAR), WeakLine(rate=100 * MEGABIT)
    with weak.serving() as proxy:
        options = {"attempts": 4, "pause": 0.001, "parallel": 1}
        with (
            Client(*access, http=behind(proxy), **options) as api,  # type: ignore[arg-type]
            pytest.raises(ApiError) as raised,
        ):
            api.upload(file, rate=1, state=state)
    assert raised.value.code == "unreachable"
    assert state.exists()

    with better.serving() as proxy, Client(*access, http=behind(proxy)) as api:
        asset = api.upload(file, rate=1, state=state)
        api.wait(asset)

    assert quarantined(running, asset) == file.read_bytes()
    arrived = {one.what for one in weak.sent if one.answered and ".bin" in one.what}
    assert not arrived & bodies(better).keys()


def test_a_ticket_of_the_distribution_is_for_one_use(
    access: tuple[str, str], tmp_path: Path
) -> None:
    """The function at the edge refuses another request, and the store a second file."""
    data = picture(tmp_path, "once.jpg", "maroon").read_bytes()
    api = ApiClient(*access)
    begun = api.post("/uploads", {"name": "once.jpg", "size": len(data), "route": "distribution"})
    ticket = begun["ticket"]

    assert use(ticket, data + b"x") == 403
    assert use(ticket, data, **{"if-none-match": "x"}) == 403
    assert use(ticket, data, **{"x-amz-acl": "public-read"}) == 403
    assert use(ticket, data) == 200
    assert use(ticket, data) == 412
