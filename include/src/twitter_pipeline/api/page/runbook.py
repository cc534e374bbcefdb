"""docs/operations.md as a page: the target of the links in alerts, in the running version, available offline.

Only headings become HTML, each with the anchor that GitHub would give it; everything else is shown as written.
"""

import html
import re
from collections.abc import Iterator
from pathlib import Path

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from twitter_pipeline.api.access import READ, needs

HEADING = re.compile(r"(#{1,4}) (.+)")
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
}


def router(clone: Path) -> APIRouter:
    """The route /operations; the file is read on each request, so it is never older than the checkout."""
    found = APIRouter()
    path = clone / "docs" / "operations.md"

    @found.get("/operations", include_in_schema=False, **needs(READ))
    def read_operations() -> Response:
        try:
            text = path.read_text("utf-8")
        except OSError:
            raise HTTPException(
                404, "docs/operations.md is not on this machine; it is in the repository"
            ) from None
        return Response(as_html(text), media_type="text/html", headers=HEADERS)

    return found


def as_html(text: str) -> str:
    """Markdown as an HTML page with anchors."""
    body = "\n".join(_blocks(text))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Operations</title>'
        f'<link rel="stylesheet" href="page.css"></head><body>{body}</body></html>'
    )


def anchor(heading: str) -> str:
    """The anchor that GitHub makes from a heading: lower case, without punctuation, hyphens for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _blocks(text: str) -> Iterator[str]:
    lines: list[str] = []
    is_code = False
    for line in text.splitlines():
        is_code ^= line.startswith("```")
        heading = None if is_code else HEADING.fullmatch(line)
        if heading is None:
            lines.append(line)
            continue
        yield from _plain(lines)
        lines = []
        level, title = len(heading[1]), heading[2]
        yield f'<h{level} id="{anchor(title)}">{html.escape(title)}</h{level}>'
    yield from _plain(lines)


def _plain(lines: list[str]) -> Iterator[str]:
    if text := "\n".join(lines).strip("\n"):
        yield f"<pre>{html.escape(text)}</pre>"
