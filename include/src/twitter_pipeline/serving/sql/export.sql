-- One row per collected tweet, oldest id first. The columns (twitter_pipeline/serving/columns.py) replace the comment
-- `columns`; conditions as in tweets.sql.
select
    /* columns */
from twitter.collected_tweets tweet
left join twitter.users author on author.id = tweet.author_id
cross join lateral (
    select min(referenced_tweet_id) filter (where type = 'replied_to') as replied_to,
        min(referenced_tweet_id) filter (where type = 'quoted') as quoted,
        min(referenced_tweet_id) filter (where type = 'retweeted') as retweeted
    from twitter.tweet_references where tweet_id = tweet.id
) reference
where true
    /* filters */
order by tweet.id
