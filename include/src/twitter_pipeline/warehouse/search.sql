-- Ids of the newest collected tweets that have all words, newest first, and below which id texts may not be filled yet.
-- Common words are found among the newest tweets; if these have too few, the trigrams of all texts are asked. Runnable
-- by hand: conditions go where the comment `filters` is, :sought and :patterns are made by twitter_pipeline/text.py.
with newest as materialized (
    select tweet.id from twitter.tweets tweet
    where tweet.is_collected
        and not exists (select from pipeline.tombstones removed where removed.tweet_id = tweet.id)
        /* filters */
    order by tweet.id desc
    limit :walked::bigint
),
common as materialized (
    select newest.id from newest
    join twitter.tweet_texts texts on texts.tweet_id = newest.id
    where texts.text like all (:patterns::text[])
    order by newest.id desc
    limit :limit::bigint + 1
),
older as materialized (
    select tweet.id from twitter.tweets_with(:sought::tsquery, :patterns::text[]) found (id)
    join twitter.tweets tweet on tweet.id = found.id
    where (select count(*) from newest) = :walked::bigint and (select count(*) from common) <= :limit::bigint
        and found.id < (select min(id) from newest)
        and tweet.is_collected
        and not exists (select from pipeline.tombstones removed where removed.tweet_id = tweet.id)
        /* filters */
    order by tweet.id desc
    limit :limit::bigint + 1
)
select coalesce(array_agg(id order by id desc), '{}') as ids,
    (select below_id from pipeline.backfills where name = 'tweet_texts') as unfilled_below
from (select id from common union all select id from older) found
