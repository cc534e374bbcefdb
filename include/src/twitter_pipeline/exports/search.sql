-- The newest collected tweets with all of these patterns in them, below an id. Runnable by hand with each parameter
-- replaced by null (patterns: '{}', limit: 20).
select tweet.id, tweet.created_at, tweet.author_id, author.username, coalesce(tweet.note_text, tweet.text),
    tweet.retweet_count, tweet.reply_count, tweet.like_count, tweet.quote_count
from twitter.tweets tweet
left join twitter.users author on author.id = tweet.author_id
where tweet.is_collected
    and not exists (select from pipeline.tombstones removed where removed.tweet_id = tweet.id)
    and (%(before)s::bigint is null or tweet.id < %(before)s::bigint)
    and coalesce(tweet.note_text, tweet.text) ilike all (%(patterns)s::text[])
    and (%(rule)s::text is null
         or exists (select from twitter.tweet_rules where tweet_id = tweet.id and rule = %(rule)s::text))
    and (%(tag)s::text is null
         or exists (select from twitter.tweet_hashtags where tweet_id = tweet.id and tag = %(tag)s::text))
    and (%(author)s::text is null or tweet.author_id = any (array(
        select id from twitter.users where lower(username) = %(author)s::text)))
order by tweet.id desc
limit %(limit)s
