-- The newest collected tweets under some conditions. Runnable by hand: the conditions go where the comment `filters` is.
select tweet.id, tweet.created_at, tweet.author_id, author.username, coalesce(tweet.note_text, tweet.text),
    tweet.retweet_count, tweet.reply_count, tweet.like_count, tweet.quote_count
from twitter.tweets tweet
left join twitter.users author on author.id = tweet.author_id
where tweet.is_collected
    and not exists (select from pipeline.tombstones removed where removed.tweet_id = tweet.id)
    /* filters */
order by tweet.id desc
limit :limit::bigint
