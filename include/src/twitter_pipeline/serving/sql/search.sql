-- Ids of the newest collected tweets that have all words, newest first, and the id below which texts may not be filled
-- yet. Common words are found among the newest tweets; if those have too few, the trigrams of all texts are searched.
-- Conditions as in tweets.sql; twitter_pipeline/text.py makes :sought and :patterns.
with newest as materialized (
    select tweet.id from twitter.collected_tweet_keys tweet /* tweets */
    where true
        /* filters */
    order by tweet.id /* key */ desc
    limit :walked::bigint
),
common as materialized (
    select newest.id from newest
    cross join lateral (
        select from twitter.tweet_texts where tweet_id = newest.id and text like all (:patterns::text[]) offset 0
    ) texts
    order by newest.id desc
    limit :limit::bigint + 1
),
candidates as materialized (
    select listed.tweet_id from twitter.tweets_with(:sought::tsquery, :patterns::text[]) listed (tweet_id)
    where (select count(*) from newest) = :walked::bigint and (select count(*) from common) <= :limit::bigint
        and listed.tweet_id < (select min(id) from newest)
),
older as materialized (
    select tweet.id from candidates listed
    cross join lateral (select * from twitter.collected_tweet_keys where id = listed.tweet_id offset 0) tweet
    where true
        /* candidate filters */
    order by listed.tweet_id desc
    limit :limit::bigint + 1
)
select coalesce(array_agg(id order by id desc), '{}') as ids,
    (select below_id from pipeline.backfills where name = 'tweet_texts') as unfilled_below
from (select id from common union all select id from older) found
