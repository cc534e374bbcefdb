-- The newest collected tweets under some conditions. Runnable by hand: the conditions go where the comment `filters` is.
with page as materialized (
    select tweet.id from twitter.tweets tweet /* tweets */
    where tweet.is_collected
        and not exists (select from pipeline.tombstones removed where removed.tweet_id = tweet.id offset 0)
        /* filters */
    order by tweet.id /* key */ desc
    limit :limit::bigint
)
select tweet.id, tweet.created_at, tweet.author_id, author.username, coalesce(tweet.note_text, tweet.text),
    tweet.retweet_count, tweet.reply_count, tweet.like_count, tweet.quote_count
from page
cross join lateral (select * from twitter.tweets where id = page.id offset 0) tweet
left join lateral (select * from twitter.users where id = tweet.author_id offset 0) author on true
order by page.id desc
