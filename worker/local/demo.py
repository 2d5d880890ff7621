"""The demo page of the local stack: the newest pictures, read through delivery.

It shows how a page uses ``worker.domain.markup``: each picture has its place before it arrives, the
browser takes the width of that place, and the edge chooses the format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

from fastapi import FastAPI, Request, Response

from worker.domain.asset import AssetRecord, Status
from worker.domain.delivery import NEGOTIATION_HEADERS
from worker.domain.markup import Addresses, image_html, picture_of
from worker.ports import Catalog

PATH = "/demo/"
PICTURES = 24
"""On the page: the newest ones."""
FIRST = "(width >= 83rem) 80rem, calc(100vw - 3rem)"
"""How wide the first picture is, which is loaded at once. 80rem are 1280 pixels, one of the widths
of delivery: a page that chooses such widths wastes nothing."""
OTHERS = "auto, (width >= 83rem) 20rem, calc(50vw - 1.5rem)"
_STYLE = """
body { margin: 0 auto; padding: 0 1.5rem; max-width: 80rem; font: 1rem/1.5 system-ui, sans-serif; }
img { display: block; width: 100%; height: auto; }
ul { margin: 0; padding: 0; list-style: none; display: grid; grid-template-columns: 1fr 1fr; }
@media (width >= 83rem) { ul { grid-template-columns: repeat(4, 1fr); } }
"""


def serve(app: FastAPI, catalog: Catalog, addresses: Callable[[], Addresses], media: str) -> None:
    """Add the page to an app.

    Args:
        addresses: of files, for one answer.
        media: address of the delivery server.
    """
    headers = page_headers(media)

    @app.get(PATH, include_in_schema=False)
    def demo(request: Request) -> Response:
        # It lists assets of all owners: a page of another name that leads here must not read it.
        if request.url.hostname not in ("127.0.0.1", "localhost"):
            return Response("ask for 127.0.0.1", 421, headers, "text/plain")
        found = catalog.by_status(Status.ACCEPTED, limit=PICTURES)
        return Response(page(found.records, addresses()), 200, headers, "text/html")


def page_headers(media: str) -> Mapping[str, str]:
    """Headers that ask for client hints and delegate them to the host of pictures."""
    policy = NEGOTIATION_HEADERS["Permissions-Policy"].replace("=*", f'=(self "{media}")')
    return {
        "Accept-CH": NEGOTIATION_HEADERS["Accept-CH"],
        "Permissions-Policy": policy,
        "Content-Security-Policy": (
            f"default-src 'none'; img-src {media}; style-src 'unsafe-inline'; base-uri 'none'"
        ),
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


def page(records: Sequence[AssetRecord], addresses: Addresses) -> str:
    """The page with all records that are pictures."""
    shown = [
        (found, found.alt or record.source.key.rpartition("/")[2])
        for record in records
        if (found := picture_of(record, addresses)) is not None
    ]
    first = [image_html(one, alt=alt, sizes=FIRST, lazy=False) for one, alt in shown[:1]]
    others = [f"<li>{image_html(one, alt=alt, sizes=OTHERS)}</li>" for one, alt in shown[1:]]
    pictures = [*first, *(["<ul>", *others, "</ul>"] if others else [])]
    text = "The newest pictures of this stack, read through delivery."
    empty = "" if shown else "\n<p>There is none yet: safelight put FILE</p>"
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f'<meta name="description" content="{escape(text)}">\n'
        f"<title>Pictures through delivery</title>\n<style>{_STYLE}</style>\n"
        f"<main>\n<h1>Pictures through delivery</h1>\n<p>{escape(text)}</p>{empty}\n"
        + "\n".join(pictures)
        + "\n</main>\n</html>\n"
    )
