-- A page of collected tweets, newest id first, as JSON. The conditions replace the comment `filters`, and a tweet's
-- object (twitter_pipeline/serving/columns.py) replaces `object`; :limit is the number of tweets.
with page as materialized (
    select tweet.id from twitter.collected_tweet_keys tweet /* tweets */
    where true
        /* filters */
    order by tweet.id /* key */ desc
    limit :limit::bigint + 1
)
select coalesce(json_agg(/* object */ order by tweet.id desc), '[]')::text as body,
    count(*) as shown_count,
    min(tweet.id) as last_id,
    (select count(*) from page) as found_count
from (select id from page order by id desc limit :limit::bigint) chosen
cross join lateral (select * from twitter.collected_tweets where id = chosen.id offset 0) tweet
left join lateral (select * from twitter.users where id = tweet.author_id offset 0) author on true
