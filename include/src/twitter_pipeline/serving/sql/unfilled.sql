-- Texts of the newest collected tweets that an older version may have loaded and that may not be in the index yet: these
-- are compared one by one, a bounded number at a time. Conditions as in tweets.sql.
select tweet.id,
    -- null for those in the index, which search.sql has already checked
    case when not exists (select from twitter.tweet_texts texts where texts.tweet_id = tweet.id offset 0)
        then (select coalesce(nullif(stored.note_text, ''), stored.text) from twitter.collected_tweets stored
            where stored.id = tweet.id offset 0) end as text
from twitter.collected_tweet_keys tweet /* tweets */
where tweet.id < :unfilled_below::bigint
    /* filters */
order by tweet.id /* key */ desc
limit :examined::bigint
