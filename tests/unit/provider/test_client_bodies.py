"""Odd content affects only the object that holds it, never its neighbours."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_twitter.client import ServerFailed, XClient
from airflow_provider_twitter.client.pages import parse_body
from tweet_envelope.pages import Item

ODD = {
    "lone surrogate": b'{"id":"2","text":"\\ud83d"}',
    "NaN": b'{"id":"2","score":NaN}',
    "raw control character": b'{"id":"2","text":"a\x01b"}',
    "bad UTF-8": b'{"id":"2","text":"\xed\xa0\xbd"}',
    "number beyond floats": b'{"id":"2","score":1e400}',
    "integer of 5,000 digits": b'{"id":"2","score":' + b"9" * 5000 + b"}",
    "nesting of 3,000": b'{"id":"2","deep":' + b"[" * 3000 + b"]" * 3000 + b"}",
    "bad escape": b'{"id":"2","text":"\\x41"}',
    "brackets and quotes in a string": b'{"id":"2","text":"}],\\"{[","lone":"\\udc00"}',
    "no object": b'"a string"',
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_neighbours_of_an_odd_tweet_are_whole(odd: bytes) -> None:
    """Every tweet before and after an odd one is read, and the odd one keeps its bytes."""
    body = parse_body(b'{"data":[{"id":"1"}, ' + odd + b' ,{"id":"3"}],"meta":{"result_count":3}}')
    assert [item.id for item in body.data][::2] == [1, 3]
    assert bytes(body.data[1].raw) == odd
    assert body.meta == {"result_count": 3}


def test_a_lone_surrogate_still_lets_the_tweet_be_read() -> None:
    """What JSON allows and Python's strict decoders refuse is read leniently and counts as portable."""
    item = Item.of(ODD["lone surrogate"])
    assert (item.id, item.is_portable) == (2, True)


@pytest.mark.parametrize("odd", ["NaN", "bad UTF-8", "raw control character"])
def test_what_is_no_json_is_not_portable(odd: str) -> None:
    """Bytes that would break a document around them are known as such."""
    assert not Item.of(ODD[odd]).is_portable


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ('"1"', 1),
        ("17", 17),
        ('"9223372036854775807"', 2**63 - 1),
        ('"9223372036854775808"', None),
        ('"0"', 0),
        ('"00"', None),
        ('"-5"', None),
        ('"1_0"', None),
        ('" 7"', None),
        ('"\uff11"', None),
        ("1.0", None),
        ("true", None),
        ("null", None),
    ],
)
def test_ids_are_numbers_of_63_bits(stated: str, expected: int | None) -> None:
    """Only plain digits within 63 bits are an id."""
    assert Item.of(f'{{"id":{stated}}}'.encode()).id == expected


@pytest.mark.parametrize(
    "body",
    [
        b"<html>503</html>",
        b"",
        b'{"data":[{"id":"1"}',
        b"[1]",
        b'{"data":[]} trailing',
        b"null",
        b"\xff\xfe\x00",
    ],
)
def test_a_body_that_is_no_json_object_is_a_failure_of_the_server(
    x: Any, client: XClient, body: bytes
) -> None:
    """HTML, truncated and foreign bodies are retried and then raised as ServerFailed."""
    x.answers(body)
    with pytest.raises(ServerFailed, match="/2/tweets/search/recent"):
        client.search_recent("coffee")
    assert len(x.asked) == 3


def test_a_byte_order_mark_is_forgiven() -> None:
    """A BOM before the document is stripped."""
    assert parse_body(b'\xef\xbb\xbf{"data":[{"id":"1"}]}').data[0].id == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(st.characters()),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=6), st.booleans())
def test_any_list_of_objects_is_taken_apart_without_a_changed_byte(
    tweets: list[dict[str, Any]], ensure_ascii: bool
) -> None:
    """Whatever objects a page holds, odd ones included, each comes back byte for byte."""
    parts = [
        json.dumps(tweet, ensure_ascii=ensure_ascii).encode("utf-8", "surrogatepass") for tweet in tweets
    ]
    body = parse_body(b'{"data":[' + b",".join(parts) + b',{"lone":"\\ud800"}]}')
    assert [bytes(item.raw) for item in body.data] == [*parts, b'{"lone":"\\ud800"}']
