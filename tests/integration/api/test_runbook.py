"""The page that links in alerts lead to."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from twitter_pipeline.api.page.runbook import anchor, as_html, router

CLONE = Path(__file__).resolve().parents[3]


def test_every_alert_leads_to_a_section_of_the_page() -> None:
    """Each link's fragment is an anchor of the served page, once."""
    [route] = router(CLONE).routes
    answer = route.endpoint()  # type: ignore[attr-defined]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    anchors = re.findall(r'<h\d id="([^"]+)">', answer.body.decode())
    assert len(anchors) == len(set(anchors))
    rules = yaml.safe_load((CLONE / "deploy/monitoring/alerts.yml").read_text())
    links = [rule["annotations"]["runbook_url"] for group in rules["groups"] for rule in group["rules"]]
    assert {link.rpartition("#")[2] for link in links} <= set(anchors)


def test_the_page_asks_who_reads_like_every_other(api: Any) -> None:
    """If the checkout is not on this machine, the page says where to find it."""
    assert api.get("/operations", token=None).status_code == 401
    missing = api.get("/operations")
    assert missing.status_code == 404
    assert "docs/operations.md" in missing.text


def test_nothing_in_the_text_becomes_markup() -> None:
    """This includes what looks like a heading inside code."""
    page = as_html("# A & B's <i>\n\ntext <script>\n\n```sh\n# no heading\n```\n\n#### Deep `code`\n")
    assert '<h1 id="a--bs-i">A &amp; B&#x27;s &lt;i&gt;</h1>' in page
    assert "<pre>text &lt;script&gt;\n\n```sh\n# no heading\n```</pre>" in page
    assert '<h4 id="deep-code">' in page
    assert "<script>" not in page


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Disk full", "disk-full"),
        ("A service does not stay up", "a-service-does-not-stay-up"),
        ("429s!", "429s"),
    ],
)
def test_anchors_are_those_of_github(heading: str, expected: str) -> None:
    """So that a link works in the repository and here."""
    assert anchor(heading) == expected
