-- A page of collected tweets, newest id first, as JSON. Ids are text: they do not fit into a double.
-- Runnable by hand: the conditions go where the comment `filters` is, the number of tweets where :limit is.
with page as materialized (
    select tweet.id from twitter.tweets tweet /* tweets */
    where tweet.is_collected
        and not exists (select from pipeline.tombstones removed where removed.tweet_id = tweet.id offset 0)
        /* filters */
    order by tweet.id /* key */ desc
    limit :limit::bigint + 1
),
shown as (
    select tweet.*, author.username, author.name from (select id from page order by id desc limit :limit::bigint) chosen
    cross join lateral (select * from twitter.tweets where id = chosen.id offset 0) tweet
    left join lateral (select * from twitter.users where id = tweet.author_id offset 0) author on true
)
select coalesce(json_agg(json_build_object(
    'id', id::text,
    'created_at', to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'text', text,
    'note_text', note_text,
    'lang', lang,
    'author', json_build_object('id', author_id::text, 'username', username, 'name', name),
    'conversation_id', conversation_id::text,
    'in_reply_to_user_id', in_reply_to_user_id::text,
    'references', (select coalesce(json_agg(json_build_object('type', type, 'id', referenced_tweet_id::text) order by type, referenced_tweet_id), '[]')
        from twitter.tweet_references where tweet_id = shown.id),
    'hashtags', (select coalesce(json_agg(tag order by start_index nulls last, tag collate "C"), '[]')
        from twitter.tweet_hashtags where tweet_id = shown.id),
    'mentions', (select coalesce(json_agg(tweet_mentions.username order by start_index nulls last, tweet_mentions.username collate "C"), '[]')
        from twitter.tweet_mentions where tweet_id = shown.id),
    'urls', (select coalesce(json_agg(link order by place), '[]') from (
        select coalesce(unwound_url, expanded_url, url) as link, min(ordinal) as place
        from twitter.tweet_urls where tweet_id = shown.id group by 1) links where link is not null),
    'media_keys', coalesce(to_json(media_keys), '[]'),
    'rules', (select coalesce(json_agg(rule order by rule collate "C"), '[]') from twitter.tweet_rules where tweet_id = shown.id),
    'possibly_sensitive', possibly_sensitive,
    'withheld_country_codes', coalesce(to_json(withheld_country_codes), '[]'),
    'metrics', json_build_object(
        'retweet_count', retweet_count, 'reply_count', reply_count, 'like_count', like_count,
        'quote_count', quote_count, 'bookmark_count', bookmark_count, 'impression_count', impression_count,
        'observed_at', case when twitter.observed_at(metrics_version) > timestamptz 'epoch' then
            to_char(twitter.observed_at(metrics_version) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') end)
    ) order by id desc), '[]')::text as body,
    count(*) as shown_count,
    min(id) as last_id,
    (select count(*) from page) as found_count
from shown
