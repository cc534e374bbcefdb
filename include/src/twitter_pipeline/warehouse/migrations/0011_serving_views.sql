-- Which tweets a person may read is said here, once: collected by a rule, and not removed. The API, the exports and the
-- searches read these views. A migration that adds a column to twitter.tweets ends with `call twitter.define_views()`.

create procedure twitter.define_views() language plpgsql as $define$
begin
    execute $view$
        create or replace view twitter.collected_tweets as
        select tweet.* from twitter.tweets tweet
        where tweet.is_collected
            and not exists (select from pipeline.tombstones removed where removed.tweet_id = tweet.id)
    $view$;
    -- The same tweets for lists. `offset 0` keeps the look-up of a tombstone one for each row that is walked: as a join,
    -- the planner weighs it against reading the whole table, and a list then no longer stops after its page.
    execute $view$
        create or replace view twitter.collected_tweet_keys as
        select tweet.id, tweet.author_id, tweet.created_at from twitter.tweets tweet
        where tweet.is_collected
            and not exists (select from pipeline.tombstones removed where removed.tweet_id = tweet.id offset 0)
    $view$;
    execute $view$
        create or replace view twitter.collected_authors as
        select author_id as user_id, count(*) as collected_tweet_count from twitter.collected_tweets
        where author_id is not null group by author_id
    $view$;
end $define$;
comment on procedure twitter.define_views is 'Define the views of schema twitter anew, with the columns that its tables have now. Called by migrations.';

call twitter.define_views();
comment on view twitter.collected_tweets is 'The tweets that a person may read: collected by a rule and not removed (pipeline.tombstones). Withheld tweets are among them, with withheld_copyright and withheld_country_codes; so are retweets, each a tweet of its own.';
comment on view twitter.collected_tweet_keys is 'The keys of collected_tweets, for lists by descending id: each row is judged by itself, so that a list reads no more than its page.';
comment on view twitter.collected_authors is 'How many collected tweets each account wrote; accounts without any have no row.';
-- the default privileges let the reader read them; the loader writes tables, never through a view
revoke insert, update, delete on twitter.collected_tweets, twitter.collected_tweet_keys, twitter.collected_authors from pipeline_loader;
