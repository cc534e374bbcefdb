-- Collected tweets per hour or day of creation (UTC); spans without tweets are listed with 0.
-- Conditions as in tweets.sql; :granularity is 'hour' or 'day', :since and :until are times.
with counted as (
    select date_trunc(:granularity::text, tweet.created_at, 'UTC') as start, count(*) as tweet_count
    from twitter.collected_tweets tweet
    where true
        /* filters */
    group by 1
)
select coalesce(json_agg(json_build_object(
    'start', to_char(span.start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    'tweet_count', coalesce(tweet_count, 0)) order by span.start), '[]')::text as body,
    coalesce(sum(tweet_count), 0)::bigint as total
from generate_series(
    date_trunc(:granularity::text, :since::timestamptz, 'UTC'), :until::timestamptz - interval '1 microsecond', ('1 ' || :granularity::text)::interval, 'UTC'
) as span (start)
left join counted on counted.start = span.start
