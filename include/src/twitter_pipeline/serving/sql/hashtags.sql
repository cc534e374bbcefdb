-- The most used hashtags of the collected tweets in a window, including retweets. Conditions as in tweets.sql.
select coalesce(json_agg(json_build_object(
    'tag', tag, 'display_tag', display_tag, 'tweet_count', tweet_count, 'author_count', author_count)
    order by tweet_count desc, tag collate "C"), '[]')::text as body
from (
    select used.tag, known.display_tag, count(*) as tweet_count, count(distinct tweet.author_id) as author_count
    from twitter.collected_tweets tweet
    join twitter.tweet_hashtags used on used.tweet_id = tweet.id
    join twitter.hashtags known on known.tag = used.tag
    where true
        /* filters */
    group by used.tag, known.display_tag
    order by tweet_count desc, used.tag collate "C"
    limit :limit::bigint
) top
