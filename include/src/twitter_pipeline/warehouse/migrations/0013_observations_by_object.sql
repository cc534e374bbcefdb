-- From any id of X to every place that holds it: tweets, accounts, media, places and polls, in raw and in dead letters.
-- One row holds up to 64 neighbouring offsets of one object as bits, so that an account seen in every message of a
-- timeline grows by a row in 64 messages (decision 30 has the measurements).

create table pipeline.topics (
    number    integer generated always as identity primary key,
    topic_id  text collate "C" not null unique
);
comment on table pipeline.topics is 'A short number for each topic id (or other origin of bytes) that observations speak of.';
comment on column pipeline.topics.topic_id is 'Kafka''s id of the topic; extract/... and import/... for bytes that never were in Kafka.';

create type pipeline.object_kind as enum (
    'envelope', 'tweet', 'included_tweet', 'user', 'media', 'place', 'poll', 'unread'
);
comment on type pipeline.object_kind is 'What was observed. envelope: the message itself, with object_id 0: the proof that it was loaded. tweet: the envelope''s own; included_tweet: in its includes. unread: an id that stands somewhere in a dead letter.';

create function pipeline.object_id(x_id text) returns bigint
language sql immutable strict parallel safe
return case when x_id ~ '^[0-9]{1,18}$' or x_id ~ '^[0-9]{19}$' and x_id <= '9223372036854775807' then x_id::bigint
    else ('x' || left(md5(x_id), 16))::bit(64)::bigint end;
comment on function pipeline.object_id is 'The object_id of an id of X: the number itself; of an id with letters in it (media, places) the first eight bytes of its md5.';

alter table pipeline.observations rename to observations_before;
alter index pipeline.observations_key rename to observations_before_key;
alter index pipeline.observations_tweet rename to observations_before_tweet;

create table pipeline.observations (
    object_id  bigint not null,
    bucket     bigint not null,
    offsets    bigint not null,
    topic      integer not null,
    partition  integer not null,
    kind       pipeline.object_kind not null,
    primary key (object_id, kind, topic, partition, bucket)
) with (fillfactor = 90);  -- a row gains bits while its neighbours are loaded
comment on table pipeline.observations is 'Where each object of X was seen: the way from an id to every document and dead letter that holds it (deletions), and the proof of what was loaded (accounting). pipeline.observed says the same in words.';
comment on column pipeline.observations.object_id is 'pipeline.object_id of the id that X gave; 0 for an envelope.';
comment on column pipeline.observations.bucket is 'The offset divided by 64, rounded down.';
comment on column pipeline.observations.offsets is 'Bit n: it was seen at offset 64 * bucket + n.';

insert into pipeline.topics (topic_id) select distinct topic_id from pipeline.observations_before order by 1;
set local work_mem = '256MB';
insert into pipeline.observations (object_id, bucket, offsets, topic, partition, kind)
select object_id, "offset" >> 6, bit_or(1::bigint << ("offset" & 63)::integer), number, partition, kind
from (
    select tweet_id as object_id, "offset", partition, topic_id,
        case when is_data then 'tweet' else 'included_tweet' end::pipeline.object_kind as kind
    from pipeline.observations_before where tweet_id is not null
    union all
    select distinct 0, "offset", partition, topic_id, 'envelope'::pipeline.object_kind from pipeline.observations_before
) seen
join pipeline.topics using (topic_id)
group by 1, 2, 4, 5, 6;
drop table pipeline.observations_before;
analyze pipeline.observations;

create view pipeline.observed as
select kind, object_id, topic_id, partition, bucket * 64 + bit as "offset"
from pipeline.observations
join pipeline.topics on topics.number = observations.topic
cross join lateral generate_series(0, 63) bit
where (offsets >> bit) & 1 = 1;
comment on view pipeline.observed is 'Observations in words, one row a place: which object (see pipeline.object_id) was seen in which message.';

create table pipeline.unobserved (
    topic_id     text collate "C" not null,
    partition    integer not null check (partition >= 0),
    from_offset  bigint not null,
    to_offset    bigint not null,
    primary key (topic_id, partition),
    check (to_offset > from_offset)
);
comment on table pipeline.unobserved is 'Offsets that an older version landed: of what is in them only the loaded tweets are in observations until `twitter-pipeline raw observe`, or the nightly housekeeping, has read them again.';
insert into pipeline.unobserved (topic_id, partition, from_offset, to_offset)
select topic_id, partition, start_offset, next_offset from pipeline.cursors
where stage = 'landing' and next_offset > start_offset;

-- dead letters without a place in Kafka (extract, import), and conflicts: below_id is null once they are observed
insert into pipeline.backfills (name, below_id)
select 'observed_letters', case when exists (select from pipeline.cursors) then 1 end;
