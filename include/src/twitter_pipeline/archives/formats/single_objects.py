"""A tweet or a user on its own, possibly flattened, possibly with its includes next to its own members."""

from twitter_pipeline.archives.formats import answers
from twitter_pipeline.archives.json_bytes import as_object, decoded, encoded, names_of
from twitter_pipeline.archives.page import ArchivedPage, Item
from twitter_pipeline.archives.refusals import Unimportable
from twitter_pipeline.archives.retrieval_times import retrieved_at

SIBLINGS = frozenset(["includes", "errors", "matching_rules", "meta"])
"""What some tools write next to the members of a tweet or user."""


def alone(body: bytes, members: dict[str, bytes]) -> ArchivedPage:
    """A tweet or a user, possibly flattened, possibly with its includes next to its own members."""
    beside = {name: raw for name, raw in members.items() if name in SIBLINGS}
    if beside:
        members = {name: raw for name, raw in members.items() if name not in SIBLINGS}
        body = b"{" + b",".join(encoded(name) + b":" + raw for name, raw in members.items()) + b"}"
    value = as_object(decoded(body))
    if not answers.is_tweet(value) and not answers.is_user(value):
        raise Unimportable("shape", f"neither an answer from X nor a tweet or user: has {names_of(members)}")
    page = answers.answer(beside) if beside else ArchivedPage()
    page.observed_at = retrieved_at(value)
    answers.sort_in(page, [Item(body, value)], alone=True)
    return page
