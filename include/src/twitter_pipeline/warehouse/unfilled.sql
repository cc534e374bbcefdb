-- Texts of the newest collected tweets that may be of an older version and not in the index yet: these are compared one
-- by one, a bounded number at a time. Runnable by hand like search.sql.
select tweet.id, coalesce(nullif(tweet.note_text, ''), tweet.text) as text
from twitter.tweets tweet /* tweets */
where tweet.is_collected
    and not exists (select from pipeline.tombstones removed where removed.tweet_id = tweet.id offset 0)
    and tweet.id < :unfilled_below::bigint
    /* filters */
order by tweet.id /* key */ desc
limit :examined::bigint
