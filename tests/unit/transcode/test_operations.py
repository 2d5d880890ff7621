"""The four operations: stopped and gone on with, divided, and told what they cannot do."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from batch.work import Stopped
from tests.unit.transcode import clips
from tests.unit.video.jobs import CountedStop, Folder, divided, run
from worker.domain.errors import ConfigurationError, ObjectMissing, Rejected
from worker.video import plan as plans

pytestmark = pytest.mark.ffmpeg

SERVED = ("hls/", "video.mp4")


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a second, so that a short clip has several."""
    monkeypatch.setattr("batch.operations.transcode.CHUNK_SECONDS", 1.0)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds with audio, and so much noise that the bound of the rate decides."""
    return clips.write(
        tmp_path_factory.mktemp("source") / "x.mp4",
        frames=75,
        size=(160, 96),
        audio=[3],
        video_filter="noise=alls=60:allf=t",
    )


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """What an uninterrupted run on one machine serves."""
    folder = tmp_path_factory.mktemp("whole")
    outputs = Folder(folder / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batch.operations.transcode.CHUNK_SECONDS", 1.0)
        run("transcode", source, outputs, folder / "scratch", segment_seconds=1.0)
    return outputs.content(*SERVED)


def test_stopped_at_random_moments_it_makes_the_same_bytes_once(
    source: Path, expected: Mapping[str, bytes], tmp_path: Path
) -> None:
    """However often it is stopped: no finished chunk is made again, and no byte differs."""
    assert len(expected) > 8
    chance = random.Random(5)
    outputs, kept = Folder(tmp_path / "out"), Folder(tmp_path / "checkpoint")
    stops = 0
    for attempt in range(200):
        # Three with fewer looks than any attempt takes; later ones reach into its work.
        few = attempt < 3
        stop = CountedStop(chance.randint(5, 30) if few else chance.randint(20, 40 + 60 * attempt))
        try:
            run(
                "transcode",
                source,
                outputs,
                tmp_path / "scratch",
                checkpoint=kept,
                stop=stop,
                segment_seconds=1.0,
            )
            break
        except Stopped:
            stops += 1
            assert not outputs.content("video.mp4", "hls/master")
    assert stops > 2
    assert outputs.content(*SERVED) == expected
    assert set(Counter(kept.put_names).values()) == {1}


def test_the_bytes_do_not_depend_on_the_machines_threads(source: Path, tmp_path: Path) -> None:
    """A job may begin on a small machine and end on a large one, with every encoder."""
    made = []
    for threads in (1, 3):
        outputs, scratch = Folder(tmp_path / f"out-{threads}"), tmp_path / "scratch"
        codecs = ("h264", "hevc", "av1")
        run(
            "transcode",
            source,
            outputs,
            scratch,
            threads=threads,
            segment_seconds=1.0,
            codecs=codecs,
        )
        made.append(outputs.content(*SERVED))
    assert made[0] == made[1]


def test_divided_over_machines_it_makes_the_same_bytes(
    source: Path, expected: Mapping[str, bytes], tmp_path: Path
) -> None:
    """Plan, children in any order, assembly: the result is that of one machine."""
    outputs, scratch = Folder(tmp_path / "out"), tmp_path / "scratch"
    planned = run("transcode-plan", source, outputs, scratch, segment_seconds=1.0, groups=2)
    assert (planned["parts"], planned["groups"], planned["frames"]) == (3, 2, 75)
    divided(source, outputs, scratch, segment_seconds=1.0)
    assert outputs.content(*SERVED) == expected


def test_a_child_makes_nothing_again_and_repairs_what_is_damaged(
    source: Path, tmp_path: Path
) -> None:
    """A second attempt leaves whole chunks alone; a damaged one is made again, the same."""
    outputs, scratch = Folder(tmp_path / "out"), tmp_path / "scratch"
    run("transcode-plan", source, outputs, scratch, segment_seconds=1.0)
    run("transcode-part", source, outputs, scratch, index=0, size=1)
    before = outputs.content("parts/")
    chunks = sorted((outputs.root / "parts").glob("*part-00001*.mp4"))
    kept = sorted((outputs.root / "parts").glob("*part-00000*.mp4"))[0]
    written = kept.stat().st_mtime_ns
    chunks[0].write_bytes(b"damaged")
    run("transcode-part", source, outputs, scratch, index=0, size=1)
    assert outputs.content("parts/") == before
    assert kept.stat().st_mtime_ns == written


def test_assembling_too_early_names_what_is_missing(source: Path, tmp_path: Path) -> None:
    """Without a plan, a part or the audio there is no half result."""
    outputs, scratch = Folder(tmp_path / "out"), tmp_path / "scratch"
    with pytest.raises(ObjectMissing, match="plan"):
        run("transcode-assemble", source, outputs, scratch)
    run("transcode-plan", source, outputs, scratch, segment_seconds=1.0)
    run("transcode-part", source, outputs, scratch, index=0, size=2)
    with pytest.raises(ObjectMissing, match="part 1"):
        run("transcode-assemble", source, outputs, scratch)
    assert not outputs.content(*SERVED)


def test_a_plan_for_another_input_is_refused(source: Path, tmp_path: Path) -> None:
    """An output store that was used for another video is not mixed with this one, though it has
    as many bytes: those of cameras that write at a constant rate do."""
    outputs, scratch = Folder(tmp_path / "out"), tmp_path / "scratch"
    run("transcode-plan", source, outputs, scratch)
    other = tmp_path / "y.mp4"
    data = source.read_bytes()
    other.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ConfigurationError) as caught:
        run("transcode-part", other, outputs, scratch, index=0)
    assert caught.value.code == "plan_unusable"


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"version": 1}', b'{"version": 99}'])
def test_what_is_no_plan_is_refused(data: bytes) -> None:
    """A damaged plan.json has a code and no traceback."""
    with pytest.raises(ConfigurationError) as caught:
        plans.loads(data)
    assert caught.value.code == "plan_unusable"


def test_a_plan_reads_back_and_its_digest_is_its_meaning(source: Path, tmp_path: Path) -> None:
    """Written and read it is equal; any change changes the digest."""
    outputs = Folder(tmp_path / "out")
    run("transcode-plan", source, outputs, tmp_path / "scratch")
    plan = plans.loads((outputs.root / "plan.json").read_bytes())
    assert plans.loads(plans.dumps(plan)) == plan
    assert replace(plan, preset="slow").digest != plan.digest


def test_bad_input_is_rejected_with_nothing_written(tmp_path: Path) -> None:
    """A file that is no video leaves no output behind."""
    source = tmp_path / "x.mp4"
    source.write_bytes(b"not a video at all" * 100)
    outputs = Folder(tmp_path / "out")
    with pytest.raises(Rejected):
        run("transcode", source, outputs, tmp_path / "scratch")
    assert not outputs.content("")
