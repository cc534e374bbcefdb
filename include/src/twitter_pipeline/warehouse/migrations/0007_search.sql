-- What searches compare: texts and hashtags in the form of twitter_pipeline/text.py, made by the loader. Rows of before
-- are filled by `twitter-pipeline search-index fill`; keys stay as they were written.

create table twitter.tweet_texts (
    tweet_id  bigint primary key,
    text      text not null,
    trigrams  text not null,
    version   uuid not null
) with (fillfactor = 80); -- a newer observation of the same text changes the version only, in place
-- lexemes are trigrams, so that :* finds words of one or two characters; the extension pg_trgm is not everywhere, and
-- knows neither emoji nor, in the C locale, any letter beyond ASCII
create index tweet_texts_trigrams on twitter.tweet_texts using gin (array_to_tsvector(string_to_array(trigrams, E'\n')));
comment on table twitter.tweet_texts is 'The text of each tweet (the long one where there is one) as searches compare it: entities unescaped, NFC, case-folded; trigrams of its words, one a line.';

create function twitter.tweets_with(sought tsquery, patterns text[]) returns setof bigint
language sql stable parallel safe rows 1000
-- the trigrams decide, never a scan, whatever the statistics say
set enable_seqscan = off
set enable_bitmapscan = on
begin atomic
    select tweet_id from twitter.tweet_texts
    where array_to_tsvector(string_to_array(trigrams, E'\n')) @@ sought and text like all (patterns);
end;
comment on function twitter.tweets_with is 'Ids of the tweets whose text has these trigrams and matches these patterns, in no order; by index.';
grant execute on function twitter.tweets_with to pipeline_loader, pipeline_reader;

alter table twitter.hashtags add column search_tag text;
create index hashtags_search_tag on twitter.hashtags (search_tag) where search_tag is not null;
comment on column twitter.hashtags.search_tag is 'The normal form of a tag that an older version stored otherwise; null where tag is in normal form.';

create table pipeline.backfills (
    name        text primary key,
    below_id    bigint,
    updated_at  timestamptz not null default now()
);
comment on table pipeline.backfills is 'How far rows of older versions are brought up to date, newest id first: those with an id below below_id may not be yet; null when all are.';
insert into pipeline.backfills (name, below_id)
select 'tweet_texts', case when exists (select from twitter.tweets) then 9223372036854775807 end;
