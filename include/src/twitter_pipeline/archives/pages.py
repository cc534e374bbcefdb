"""The pages in a record of an archive: recognises the format and applies it.

An object that cannot be used is set aside without affecting its neighbours. Nothing is dropped silently: it is refused
or counted by name.
"""

from twitter_pipeline.archives.formats import answers, own_messages, recorded_exchanges, single_objects
from twitter_pipeline.archives.formats.vocabularies import other_vocabulary
from twitter_pipeline.archives.json_bytes import decoded, elements_of, members_of, names_of
from twitter_pipeline.archives.page import ArchivedPage
from twitter_pipeline.archives.reading import BOM
from twitter_pipeline.archives.refusals import Unimportable


def pages_of(body: bytes) -> list[ArchivedPage]:
    """The pages in a record: one, or one per element of an array.

    Raises Unimportable: not_utf8, not_json, nesting, version, vocabulary, own_export, error_answer, no_tweet, shape.
    """
    body = body.removeprefix(BOM).strip()
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise Unimportable("not_utf8", str(error)) from None
    if not body.startswith(b"["):
        return [_page(body)]
    pages, refused = [], ArchivedPage()
    for element in elements_of(body):
        try:
            pages.append(_page(element))
        except Unimportable as why:
            refused.refused.append((why, element))
    return [*pages, refused] if refused.refused else pages


def _page(body: bytes) -> ArchivedPage:
    if not body.startswith(b"{"):
        decoded(body)
        if body.strip(b'"').isdigit():
            raise Unimportable("shape", "an id on its own; look it up first and import X's answer")
        raise Unimportable("shape", "neither an answer from X nor a tweet, but a bare JSON value")
    members = members_of(body)
    if "envelope_version" in members:
        return own_messages.message(members)
    if members.keys() >= {"_id", "envelope"}:
        return own_messages.document(members, _page)
    if members.keys() >= {"request", "status", "headers", "body"}:
        return recorded_exchanges.exchange(members, _page)
    if (why := other_vocabulary(members.keys(), lambda name: decoded(members[name]))) is not None:
        raise why
    if "data" in members:
        return answers.answer(members)
    if members.keys() >= {"title", "type"}:
        raise Unimportable("error_answer", f"X's answer was an error: {decoded(members['title'])!s:.100}")
    if "tweet" in members:
        return answers.answer(
            {"data": members["tweet"], **{k: v for k, v in members.items() if k != "tweet"}}
        )
    if "id" in members:
        return single_objects.alone(body, members)
    if members.keys() & answers.INCLUDES:
        return answers.includes_alone(members)
    if members.keys() & answers.ANSWER:
        return answers.answer(members)
    raise Unimportable("shape", f"neither an answer from X nor a tweet: has {names_of(members)}")
