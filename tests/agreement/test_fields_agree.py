"""The provider requests from X every field that a column is made from."""

import pytest

from airflow_provider_twitter.client.fields import Requested
from twitter_pipeline.warehouse import model

COLUMNS = [
    ("user" if table is model.USERS else "tweet", column)
    for table in model.TABLES
    for column in table.described
    if column.paths
]


@pytest.mark.parametrize("vocabulary", ["tweet", "post"])
@pytest.mark.parametrize(("of", "column"), COLUMNS, ids=[f"{of}.{column.name}" for of, column in COLUMNS])
def test_what_a_column_is_made_of_is_asked_for(of: str, column: model.Column, vocabulary: str) -> None:
    """A column whose field is never requested would stay null forever, and its absence would mean nothing."""
    requested = Requested.everything_public(vocabulary)
    if (vocabulary, column.name) == ("post", "pinned_tweet_id"):
        pytest.skip("user.fields of OpenAPI 2.167 has no pinned post")
    fields = requested.tweet_fields if of == "tweet" else requested.user_fields
    # in the newer vocabulary X gives some fields only where they are expanded
    asked = {*fields, *(expansion.split(".")[0] for expansion in requested.expansions)}
    assert any(path[0] in asked for path in column.paths), f"{column.paths} not in {sorted(asked)}"
