-- One row for each collected tweet, oldest id first. Ids are text: they do not fit into a double.
-- Runnable by hand with each parameter replaced by null.
select
    tweet.id::text as id,
    to_char(tweet.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as created_at,
    tweet.author_id::text as author_id,
    author.username as author_username,
    author.name as author_name,
    tweet.text,
    tweet.note_text,
    tweet.lang,
    tweet.source,
    tweet.conversation_id::text as conversation_id,
    tweet.in_reply_to_user_id::text as in_reply_to_user_id,
    reference.replied_to::text as replied_to_tweet_id,
    reference.quoted::text as quoted_tweet_id,
    reference.retweeted::text as retweeted_tweet_id,
    array(select tag from twitter.tweet_hashtags
          where tweet_id = tweet.id order by start_index nulls last, tag collate "C") as hashtags,
    array(select username from twitter.tweet_mentions
          where tweet_id = tweet.id order by start_index nulls last, username collate "C") as mentions,
    array(select coalesce(unwound_url, expanded_url, url) from twitter.tweet_urls
          where tweet_id = tweet.id and coalesce(unwound_url, expanded_url, url) is not null
          group by 1 order by min(ordinal)) as urls,
    coalesce(tweet.media_keys, '{}') as media_keys,
    tweet.possibly_sensitive,
    tweet.retweet_count,
    tweet.reply_count,
    tweet.like_count,
    tweet.quote_count,
    tweet.bookmark_count,
    tweet.impression_count,
    case when twitter.observed_at(tweet.metrics_version) > timestamptz 'epoch' then
        to_char(twitter.observed_at(tweet.metrics_version) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    end as metrics_observed_at,
    array(select rule from twitter.tweet_rules where tweet_id = tweet.id order by rule collate "C") as rules,
    -- as twitter_pipeline.text.unescaped: the ampersand last, so that nothing is undone twice
    replace(replace(replace(tweet.text, '&lt;', '<'), '&gt;', '>'), '&amp;', '&') as text_unescaped
from twitter.tweets tweet
left join twitter.users author on author.id = tweet.author_id
cross join lateral (
    select min(referenced_tweet_id) filter (where type = 'replied_to') as replied_to,
        min(referenced_tweet_id) filter (where type = 'quoted') as quoted,
        min(referenced_tweet_id) filter (where type = 'retweeted') as retweeted
    from twitter.tweet_references where tweet_id = tweet.id) reference
where tweet.is_collected
    and not exists (select from pipeline.tombstones removed where removed.tweet_id = tweet.id)
    and (%(rule)s::text is null
         or exists (select from twitter.tweet_rules where tweet_id = tweet.id and rule = %(rule)s::text))
    and (%(since)s::timestamptz is null or tweet.created_at >= %(since)s::timestamptz)
    and (%(until)s::timestamptz is null or tweet.created_at < %(until)s::timestamptz)
    and (%(author)s::text is null or tweet.author_id = any (array(
        select id from twitter.users where lower(username) = %(author)s::text)))
order by tweet.id
