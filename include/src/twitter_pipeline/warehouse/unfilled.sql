-- Texts of the newest collected tweets of an older version that searches cannot find by index yet: these are compared one
-- by one, a bounded number at a time. Runnable by hand like search.sql.
select tweet.id, coalesce(nullif(tweet.note_text, ''), tweet.text) as text
from twitter.tweets tweet
where tweet.is_collected
    and not exists (select from pipeline.tombstones removed where removed.tweet_id = tweet.id)
    and tweet.id < :unfilled_below::bigint
    and not exists (select from twitter.tweet_texts texts where texts.tweet_id = tweet.id)
    /* filters */
order by tweet.id desc
limit :examined::bigint
