"""Pages after Kafka acknowledged them: settled by landing, or lost with the log and fetched again.

A page is settled once landing's cursor has passed its messages. It is lost if its topic disappears, or the start of the
log moves past its messages, before that. Then its tweets are fetched again by id, and those that X no longer returns
become a gap row. One statement decides: with two, a gap noted in between would let a lost page count as settled.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import psycopg

from twitter_pipeline.collection import gaps

SETTLE = """
with judged as (
    select page.request_id,
        exists (
            select from jsonb_each_text(page.offsets) message (partition, last)
            join pipeline.gaps gap on gap.kind = 'offsets' and gap.topic_id = page.topic_id
                and gap.partition = message.partition::int and message.last::bigint >= gap.from_offset
                and message.last::bigint < gap.to_offset + cardinality(page.tweet_ids)
        ) as in_a_gap,
        not exists (
            select from jsonb_each_text(page.offsets) message (partition, last)
            where not exists (
                select from pipeline.cursors landing
                where landing.stage = 'land' and landing.topic_id = page.topic_id
                    and landing.partition = message.partition::int and landing.next_offset > message.last::bigint)
        ) as passed,
        topic = %(topic)s and topic_id <> %(topic_id)s as topic_is_gone
    from pipeline.pages page where state = 'produced'
)
update pipeline.pages page
set state = case when passed and not in_a_gap then 'settled' else 'lost' end, state_at = now()
from judged
where page.request_id = judged.request_id and page.state = 'produced' and (in_a_gap or passed or topic_is_gone)
returning page.state
"""
MOST_TRIES = 10


@dataclass(frozen=True)
class LostPage:
    """A page to fetch again: the tweets that X has not answered for yet, and the rule that collected them."""

    request_id: str
    rule: str | None
    tweet_ids: list[int]


def settle(connection: psycopg.Connection, topic: str, topic_id: str) -> dict[str, int]:
    """Update the state of all pages; `topic_id` is the topic's current id. Returns counts per new state."""
    states = [
        state for (state,) in connection.execute(SETTLE, {"topic": topic, "topic_id": topic_id}).fetchall()
    ]
    return {state: states.count(state) for state in ("settled", "lost")}


def lost(connection: psycopg.Connection, rule: str, limit: int = 100) -> list[LostPage]:
    """Lost pages of a rule, the least often tried first (an operator re-imports those of archives). Never writes."""
    rows = connection.execute(
        "select request_id, rule, coalesce(open_ids, tweet_ids) from pipeline.pages"
        " where state = 'lost' and rule = %s and source <> 'import'"
        " order by refetch_tries, observed_at limit %s",
        (rule, limit),
    ).fetchall()
    return [LostPage(*row) for row in rows]


def refetched(
    connection: psycopg.Connection,
    page: LostPage,
    found: Collection[int],
    refused: Mapping[int, str],
    unanswered: Collection[int] = (),
) -> list[int]:
    """Record that a lost page was requested again; returns the ids given up now, which are kept as gap rows.

    `refused` holds X's reason for each tweet that it no longer returns. Tweets in none of the three count as unanswered;
    they are requested again, ten times in total, before they are given up too.
    """
    open_ids = sorted(set(page.tweet_ids) - set(found) - refused.keys() | set(unanswered))
    reasons: dict[str, list[int]] = defaultdict(list)
    for tweet_id, reason in refused.items():
        reasons[f"lost with the log, and X no longer returns them: {reason[:200]}"].append(tweet_id)
    with connection.transaction():
        row = connection.execute(
            "select refetch_tries from pipeline.pages where request_id = %s and state = 'lost' for update",
            (page.request_id,),
        ).fetchone()
        if row is None:
            return []
        if open_ids and row[0] + 1 >= MOST_TRIES:
            reasons[f"lost with the log, and X did not answer for them in {MOST_TRIES} tries"] += open_ids
            open_ids = []
        state = "lost" if open_ids else "refetched" if found else "gone"
        connection.execute(
            "update pipeline.pages set state = %s, state_at = now(), open_ids = %s,"
            " refetch_tries = refetch_tries + 1 where request_id = %s",
            (state, open_ids, page.request_id),
        )
        for reason, missing in reasons.items():
            gaps.note_tweets(connection, page.rule, missing, reason)
    return sorted(tweet_id for missing in reasons.values() for tweet_id in missing)
