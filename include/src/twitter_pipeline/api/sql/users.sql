-- A page of users, newest id first, as JSON. Runnable by hand like tweets.sql.
with page as materialized (
    select id from twitter.users account
    where true
        /* filters */
    order by id desc
    limit :limit::bigint + 1
),
shown as (
    select account.* from (select id from page order by id desc limit :limit::bigint) chosen
    join twitter.users account using (id)
)
select coalesce(json_agg(json_build_object(
    'id', id::text,
    'username', username,
    'name', name,
    'created_at', to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'description', description,
    'location', location,
    'url', url,
    'profile_image_url', profile_image_url,
    'is_protected', is_protected,
    'is_verified', is_verified,
    'verified_type', verified_type,
    'pinned_tweet_id', pinned_tweet_id::text,
    'collected_tweet_count', (select count(*) from twitter.tweets where author_id = shown.id and is_collected),
    'metrics', json_build_object(
        'followers_count', followers_count, 'following_count', following_count, 'tweet_count', tweet_count,
        'listed_count', listed_count, 'like_count', like_count, 'media_count', media_count,
        'observed_at', case when twitter.observed_at(metrics_version) > timestamptz 'epoch' then
            to_char(twitter.observed_at(metrics_version) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') end)
    ) order by id desc), '[]')::text as body,
    count(*) as shown_count,
    min(id) as last_id,
    (select count(*) from page) as found_count
from shown
