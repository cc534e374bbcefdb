-- The newest collected tweets that meet some conditions, as shown by the command `search`. Conditions as in tweets.sql.
with page as materialized (
    select tweet.id from twitter.collected_tweet_keys tweet /* tweets */
    where true
        /* filters */
    order by tweet.id /* key */ desc
    limit :limit::bigint
)
select tweet.id, tweet.created_at, tweet.author_id, author.username, coalesce(tweet.note_text, tweet.text),
    tweet.retweet_count, tweet.reply_count, tweet.like_count, tweet.quote_count
from page
cross join lateral (select * from twitter.collected_tweets where id = page.id offset 0) tweet
left join lateral (select * from twitter.users where id = tweet.author_id offset 0) author on true
order by page.id desc
