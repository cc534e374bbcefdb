-- One row for each range of an archive file that Kafka acknowledged. The request id is made of the range's
-- contents, so importing again replaces the row: a range that was lost with the log counts as produced again.
insert into pipeline.pages
    (request_id, rule, source, endpoint, params, tweet_ids, topic, topic_id, offsets, observed_at)
values (%(request_id)s, %(rule)s, 'import', 'import', %(params)s, %(tweet_ids)s, %(topic)s, %(topic_id)s,
    %(offsets)s, coalesce(%(observed_at)s, timestamptz 'epoch'))
on conflict (request_id) do update set
    params = excluded.params, tweet_ids = excluded.tweet_ids, topic = excluded.topic, topic_id = excluded.topic_id, offsets = excluded.offsets,
    state = 'produced', state_at = now()
