"""The page of docs/uppy.md in Chromium, against a local stack that checks signatures."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chromium import ORIGIN, browser
from tests.browser.npm import installed
from tests.emulators import make_sure
from tests.integration.running import Running, share, stack, until
from tests.integration.weak_line import WeakLine
from tests.servers import serving_app
from worker.entrypoints.api.app import ApiServices, create

__all__ = ["browser"]
ROOT = Path(__file__).parents[2]
PACKAGES = (
    *("@uppy/core@6.3.1", "@uppy/aws-s3@6.3.1", "@uppy/golden-retriever@6.0.0"),
    "esbuild@0.28.2",
)
MEBIBYTE = 1024**2
PART = 16 * MEBIBYTE
_FILES = """
const failed = [];
const tell = (result) => {
  window.told = {failed, assets: result.successful.map((file) => [file.name, file.meta.asset])};
};
uppy.on("upload-error", (file, error) => failed.push(String(error)));
uppy.on("upload-progress", (file, progress) => { window.sent = progress.bytesUploaded; });
if (sessionStorage.begun) {
  uppy.on("complete", tell);
} else {
  sessionStorage.begun = "yes";
  for (const [name, size] of FILES)
    uppy.addFile({name, type: "image/png", data: new Blob([new Uint8Array(size).fill(7)])});
  let result = await uppy.upload();
  for (let left = 5; result.failed.length && left; left--) result = await uppy.retryAll();
  tell(result);
}
"""


@pytest.fixture(scope="module")
def packages() -> Path:
    """A folder with what the page imports, kept for the next run."""
    return installed("uppy", *PACKAGES).parent


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Iterator[Running]:
    """A stack."""
    make_sure(tmp_path_factory)
    share(tmp_path_factory.getbasetemp() / "deployed")
    with stack(tmp_path_factory.mktemp("uppy") / "data") as made:
        yield made


def bundled(packages: Path, folder: Path, **names: Any) -> bytes:
    """The page of the document, with its constants and some files to upload."""
    (code,) = re.findall(r"```js\n(.*?)```", (ROOT / "docs" / "uppy.md").read_text(), re.DOTALL)
    constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in names.items())
    page = packages / f"page-{folder.name}.js"
    page.write_text(constants + code + _FILES)
    program = str(packages / "node_modules" / ".bin" / "esbuild")
    built = folder / "page.js"
    options = ["--bundle", "--format=esm", f"--outfile={built}", "--log-level=error"]
    try:
        subprocess.run([program, str(page), *options], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        raise AssertionError(error.stderr.decode()) from error
    finally:
        page.unlink()
    return built.read_bytes()


@contextmanager
def opened(
    browser: Browser,
    running: Running,
    packages: Path,
    *,
    line: WeakLine,
    files: list[tuple[str, int]],
    folder: Path,
) -> Iterator[Page]:
    """The page of the document, with a token of the API, behind a line."""
    token = running.json("api", "token", "--owner", "ann")["token"]
    services = ApiServices(app=running.root_app)  # as a role that may all the API may
    app = create(lambda: services, origins=(ORIGIN,))
    with serving_app(app) as address, line.serving() as proxy:
        script = bundled(packages, folder, API=address, TOKEN=token, FILES=files)
        context = browser.new_context(proxy={"server": proxy, "bypass": "<-loopback>"})
        page = context.new_page()
        html = '<!doctype html><script type="module" src="/page.js"></script>'
        page.route(f"{ORIGIN}/", lambda route: route.fulfill(body=html, content_type="text/html"))
        page.route(
            f"{ORIGIN}/page.js",
            lambda route: route.fulfill(body=script, content_type="text/javascript"),
        )
        page.goto(f"{ORIGIN}/")
        yield page
        context.close()


def arrived(running: Running, page: Page, files: list[tuple[str, int]]) -> None:
    """Wait until every file is in the store, whole, and was looked at."""
    told = page.wait_for_function("window.told", timeout=100_000).json_value()
    assets = dict(told["assets"])
    assert set(assets) == {name for name, _ in files}, told
    for name, size in files:
        record = running.app.catalog.get(assets[name])
        assert record is not None
        assert record.source.size == size
        until(lambda asset=assets[name]: _status(running, asset) == "rejected")  # type: ignore[misc]


def parts_of(line: WeakLine, name: str) -> list[list[bool]]:
    """Of each part of a file, its requests: whether they went through and were answered."""
    parts: dict[str, list[bool]] = {}
    for one in line.sent:
        if re.search(rf"{name} \d+$", one.what) and one.size:
            parts.setdefault(one.what, []).append(one.passed == one.size and one.answered)
    return [parts[what] for what in sorted(parts)]


@pytest.mark.timeout(300)  # a stack and a browser begin, on a machine that may be busy
def test_the_page_uploads_over_a_line_that_is_cut(
    browser: Browser, running: Running, packages: Path, tmp_path: Path
) -> None:
    """A small file by a form and a large one in parts; what has arrived is not sent again."""
    files = [("small.png", 1_000), ("large.png", 2 * PART + 5)]
    line = WeakLine(rate=64 * MEBIBYTE, cut_after=PART + PART // 2, most_cuts=1)
    with opened(browser, running, packages, line=line, files=files, folder=tmp_path) as page:
        arrived(running, page, files)

    assert sorted(parts_of(line, "large.png")) == [[False, True], [True], [True]]


@pytest.mark.timeout(300)
def test_the_page_goes_on_after_a_reload(
    browser: Browser, running: Running, packages: Path, tmp_path: Path
) -> None:
    """With the file that the browser has kept, and the parts that the store does not have."""
    files = [("video.png", 2 * PART + 5)]
    line = WeakLine(rate=16 * MEBIBYTE)
    with opened(browser, running, packages, line=line, files=files, folder=tmp_path) as page:
        page.wait_for_function(f"window.sent > {PART + PART // 2}", timeout=100_000)
        page.reload()
        arrived(running, page, files)

    parts = parts_of(line, "video.png")
    assert len(parts) == 3
    assert all(requests[-1] for requests in parts)
    again = [requests for requests in parts if len(requests) > 1]
    assert again in ([], [[False, True]])  # at most the part that was on the line
    assert parts[0] == [True]


def _status(running: Running, asset: str) -> str:
    record = running.app.catalog.get(asset)
    return record.status.value if record else ""
