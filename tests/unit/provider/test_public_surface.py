"""What the provider exports is a promise, and its drawing of the errors is correct."""

import re

from airflow_provider_twitter import client
from airflow_provider_twitter.client import errors
from airflow_provider_twitter.client.errors import XError


def test_the_client_exports_what_it_promised() -> None:
    """The public names of the client change only on purpose."""
    assert sorted(client.__all__) == [
        "AddressRefused",
        "Auth",
        "Authorization",
        "Backoff",
        "BearerToken",
        "BodyTooLarge",
        "CredentialsRefused",
        "InvalidRequest",
        "Item",
        "Ledger",
        "Limits",
        "NotFromX",
        "OAuth1UserToken",
        "OAuth2UserToken",
        "OutOfCredits",
        "Pace",
        "Page",
        "RateLimit",
        "RateLimited",
        "Requested",
        "ResourceFact",
        "ServerFailed",
        "SinceIdTooOld",
        "SpendingStopped",
        "TryAgain",
        "UnprovenAnswer",
        "Unreachable",
        "UsageCapped",
        "UserTokens",
        "XClient",
        "XError",
    ]
    assert all(hasattr(client, name) for name in client.__all__)


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    """The drawing at the top of errors.py shows each class under its base."""
    drawn: dict[str, str] = {}
    above: list[str] = []
    for branch, name in re.findall(r"^    ([│├└─ ]*)([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE):
        depth = len(branch) // 4
        above[depth:] = [name]
        if depth:
            drawn[name] = above[depth - 1]
    classes = {
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, XError)
    }
    assert drawn == {each.__name__: each.__base__.__name__ for each in classes - {XError} if each.__base__}
