"""The bearer token goes to X and nowhere else."""

import logging
import traceback
from typing import Any

import pytest

from airflow_provider_twitter.client import (
    AddressRefused,
    Backoff,
    CredentialsRefused,
    Limits,
    XClient,
    XError,
)

CANARY = "canary-7f3a9c51-token"


def everything_said_by(error: BaseException) -> str:
    """The exception with its whole chain, its attributes, and the local variables of our own frames."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    said = ["".join(told.format())]
    seen: BaseException | None = error
    while seen is not None:
        said += [repr(seen), repr(vars(seen))]
        for name in ("request", "response"):
            carried = getattr(seen, name, None)
            said.append(repr(getattr(carried, "headers", None)))
        seen = seen.__cause__ or seen.__context__
    return "\n".join(said)


@pytest.mark.parametrize("kind", ["refused", "broken", "slow", "html", "redirect"])
def test_the_token_is_in_no_exception_and_no_log(
    x: Any, client_of: Any, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """However a request fails, neither the error nor any debug log shows the token."""

    def broken(handled: Any, asked: Any) -> None:
        handled.handler.connection.close()

    match kind:
        case "refused":
            x.answers({"detail": "Unauthorized"}, 401)
        case "broken":
            x.behaves(broken)
        case "slow":
            x.behaves(lambda handled, asked: handled.send(b"{", length=9))
        case "html":
            x.answers(b"<html>", 200)
        case "redirect":
            x.answers(b"", 302, location="https://evil.example")
    client = client_of(x.url, limits=Limits(total_seconds=0.3), backoff=Backoff(tries=1))
    with caplog.at_level(logging.DEBUG), pytest.raises(XError) as failed:
        client.search_recent("coffee")
    assert x.asked[0].headers["authorization"] == f"Bearer {CANARY}"
    assert CANARY not in everything_said_by(failed.value)
    assert CANARY not in caplog.text


def test_the_token_is_in_no_repr_and_no_log_of_a_success(
    x: Any, client: XClient, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A client, its page and whatever was logged meanwhile do not show the token."""
    x.answers({"data": [{"id": "1"}], "meta": {"result_count": 1}})
    with caplog.at_level(logging.DEBUG):
        page = client.search_recent("coffee")
    printed = capfd.readouterr()
    assert CANARY not in "\n".join([repr(client), str(vars(client)), repr(page), caplog.text, *printed])


@pytest.mark.parametrize("token", ["", "  ", "two words", "new\nline", "ümlaut"])
def test_a_token_that_no_header_may_carry_is_refused_unsaid(token: str) -> None:
    """A token with spaces or line ends is refused before any request, without being repeated."""
    with pytest.raises(CredentialsRefused) as refused:
        XClient(token)
    assert not token.strip() or token not in str(refused.value)


def test_a_secret_in_the_base_url_is_not_repeated() -> None:
    """Credentials in a base URL are refused without showing them."""
    with pytest.raises(AddressRefused) as refused:
        XClient("token", base_url=f"https://{CANARY}@api.x.com")
    assert CANARY not in str(refused.value)
