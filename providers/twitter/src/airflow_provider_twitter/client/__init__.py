"""A client for the X API v2: auth, rate limits, pages, prices, errors. Does not use Airflow."""

from airflow_provider_twitter.client.auth import (
    Auth,
    Authorization,
    BearerToken,
    OAuth1UserToken,
    OAuth2UserToken,
    UserTokens,
)
from airflow_provider_twitter.client.backoff import Backoff
from airflow_provider_twitter.client.errors import (
    AddressRefused,
    BodyTooLarge,
    CredentialsRefused,
    InvalidRequest,
    NotFromX,
    OutOfCredits,
    RateLimited,
    ServerFailed,
    SinceIdTooOld,
    SpendingStopped,
    TryAgain,
    UnprovenAnswer,
    Unreachable,
    UsageCapped,
    XError,
)
from airflow_provider_twitter.client.fields import Requested
from airflow_provider_twitter.client.ledger import Ledger
from airflow_provider_twitter.client.pages import Page
from airflow_provider_twitter.client.proof import ResourceFact
from airflow_provider_twitter.client.rate_limit import RateLimit
from airflow_provider_twitter.client.transport import Limits
from airflow_provider_twitter.client.x import Pace, XClient
from tweet_envelope.pages import Item

__all__ = [
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
