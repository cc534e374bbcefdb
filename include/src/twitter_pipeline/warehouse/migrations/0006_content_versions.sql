-- What X changes of a tweet has versions: each part is replaced as a whole by the newest observation that stated it.
-- Rows from before have no version (null), so that any observation wins; see pipeline.unversioned_tweets().

alter table twitter.tweets
    add column text_version uuid,
    add column source_version uuid,
    add column media_keys_version uuid,
    add column poll_ids_version uuid,
    add column place_id_version uuid,
    add column entities jsonb,
    add column entities_text_hash uuid,
    add column entities_version uuid;
comment on column twitter.tweets.text_version is 'Of text, note_text and lang together: a long text and a language belong to the text that they came with.';
comment on column twitter.tweets.entities is 'The set of hashtags, mentions and links as X gave it; tweet_hashtags, tweet_mentions and tweet_urls are derived from it.';
comment on column twitter.tweets.entities_text_hash is 'md5 of the text that the positions in entities belong to; they are shown while that is the text of the tweet.';

create index tweets_unversioned on twitter.tweets (id) where text_version is null and text is not null;
create function pipeline.unversioned_tweets() returns bigint
language sql stable
begin atomic
    select count(*) from twitter.tweets where text_version is null and text is not null;
end;
comment on function pipeline.unversioned_tweets is 'Tweets that were loaded before content had versions and have not been observed since: which of several texts they show is chance until they are rebuilt from raw.';

-- A link is known by its place in the set: X repeats one link for each photo behind it, and leaves the link out of others.
alter table twitter.tweet_urls drop constraint tweet_urls_pkey;
alter table twitter.tweet_urls add column ordinal integer not null default 0;
alter table twitter.tweet_urls alter column url drop not null;
update twitter.tweet_urls set ordinal = placed.ordinal
from (
    select tweet_id, url, row_number() over (partition by tweet_id order by start_index nulls last, url collate "C") - 1 as ordinal
    from twitter.tweet_urls
) placed
where placed.tweet_id = tweet_urls.tweet_id and placed.url = tweet_urls.url and placed.ordinal > 0;
alter table twitter.tweet_urls add primary key (tweet_id, ordinal);
comment on table twitter.tweet_urls is 'Links and media of a tweet as X shortened and resolved them, by their place (ordinal) in its set of entities: one link leads to several photos, and some media have no link.';
comment on table twitter.tweet_mentions is 'Accounts mentioned, once each, username in lower case; X often leaves the id out. Indexes as in tweet_hashtags.';
comment on table twitter.tweet_hashtags is 'Hashtags of a tweet, once each; indexes count Unicode code points of text, end exclusive, null when only the long text has it or the text has changed since.';

comment on table pipeline.schema_drift is 'What the tables do not understand of X, kept in raw and counted here: fields that they do not know by name, and as "(unreadable name)" those whose value does not fit and is null.';

-- The three tables are a function of the tweet's row, and the triggers below write them in the statement that writes
-- the row: no reader sees a set and a version that do not belong together, and of two loaders the second sees what the
-- first has left, since each statement here takes a snapshot of its own while the row is locked.

create function twitter.derive_entities(ids bigint[]) returns void
language sql
begin atomic
    delete from twitter.tweet_hashtags where tweet_id = any (ids);
    delete from twitter.tweet_mentions where tweet_id = any (ids);
    delete from twitter.tweet_urls where tweet_id = any (ids);
    insert into twitter.tweet_hashtags (tweet_id, tag, start_index, end_index)
    select tweet.id, tag, case when is_current then start end, case when is_current then "end" end
    from twitter.tweets tweet
    cross join lateral (select tweet.entities_text_hash = md5(tweet.text)::uuid as is_current) positions
    cross join lateral jsonb_to_recordset(tweet.entities -> 'hashtags') as entity (tag text, start integer, "end" integer)
    where tweet.id = any (ids);
    insert into twitter.tweet_mentions (tweet_id, username, user_id, start_index, end_index)
    select tweet.id, username, user_id, case when is_current then start end, case when is_current then "end" end
    from twitter.tweets tweet
    cross join lateral (select tweet.entities_text_hash = md5(tweet.text)::uuid as is_current) positions
    cross join lateral jsonb_to_recordset(tweet.entities -> 'mentions')
        as entity (username text, user_id bigint, start integer, "end" integer)
    where tweet.id = any (ids);
    insert into twitter.tweet_urls (tweet_id, ordinal, url, expanded_url, display_url, unwound_url, title, description,
        media_key, start_index, end_index)
    select tweet.id, place - 1, url, expanded_url, display_url, unwound_url, title, description,
        media_key, case when is_current then start end, case when is_current then "end" end
    from twitter.tweets tweet
    cross join lateral (select tweet.entities_text_hash = md5(tweet.text)::uuid as is_current) positions
    cross join lateral rows from (jsonb_to_recordset(tweet.entities -> 'urls')
        as (url text, expanded_url text, display_url text, unwound_url text, title text, description text,
            media_key text, start integer, "end" integer)) with ordinality
        as entity (url, expanded_url, display_url, unwound_url, title, description, media_key, start, "end", place)
    where tweet.id = any (ids);
end;
comment on function twitter.derive_entities is 'Write tweet_hashtags, tweet_mentions and tweet_urls of these tweets anew from their sets of entities.';

create function twitter.on_tweets_added() returns trigger
language plpgsql as $$
begin
    perform twitter.derive_entities(array(select id from added where entities is not null));
    return null;
end $$;

-- Its query is planned at each call: one kept from a batch that changed nothing would compare all rows with all.
create function twitter.on_tweets_changed() returns trigger
language plpgsql as $$
declare
    ids bigint[];
    ids_of_before bigint[];  -- a set from before the versions has no hash: its positions belong to the text that was there
begin
    execute $changed$
        select array_agg(id) filter (where became.entities_version is not null), array_agg(id) filter (where became.entities_version is null)
        from was join became using (id)
        where was.entities is distinct from became.entities
            or (was.entities_version is null) <> (became.entities_version is null)
            or (was.text, was.entities_text_hash) is distinct from (became.text, became.entities_text_hash)
                and (became.entities_version is null
                    or (was.entities_text_hash = md5(was.text)::uuid)
                        is distinct from (became.entities_text_hash = md5(became.text)::uuid))
    $changed$ into ids, ids_of_before;
    if ids is not null then
        perform twitter.derive_entities(ids);
    end if;
    if ids_of_before is not null then
        update twitter.tweet_hashtags set start_index = null, end_index = null where tweet_id = any (ids_of_before);
        update twitter.tweet_mentions set start_index = null, end_index = null where tweet_id = any (ids_of_before);
        update twitter.tweet_urls set start_index = null, end_index = null where tweet_id = any (ids_of_before);
    end if;
    return null;
end $$;

create function twitter.on_tweets_removed() returns trigger
language plpgsql as $$
declare
    ids bigint[] := array(select id from removed);
begin
    delete from twitter.tweet_hashtags where tweet_id = any (ids);
    delete from twitter.tweet_mentions where tweet_id = any (ids);
    delete from twitter.tweet_urls where tweet_id = any (ids);
    return null;
end $$;

comment on function twitter.on_tweets_added is 'Trigger: derive the entities of tweets that came.';
comment on function twitter.on_tweets_changed is 'Trigger: derive the entities of tweets whose set has changed, or whose text has, so that its positions show or do not.';
comment on function twitter.on_tweets_removed is 'Trigger: take the entities of removed tweets away.';

create trigger tweets_added after insert on twitter.tweets
    referencing new table as added for each statement execute function twitter.on_tweets_added();
create trigger tweets_changed after update on twitter.tweets
    referencing old table as was new table as became for each statement execute function twitter.on_tweets_changed();
create trigger tweets_removed after delete on twitter.tweets
    referencing old table as removed for each statement execute function twitter.on_tweets_removed();
