-- The pipeline's own books. Offsets are Kafka offsets of one (topic_id, partition);
-- topic_id is Kafka's own id of the topic, so a topic made anew is another log.

create table pipeline.rules (
    name              text primary key check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    query             text check (query <> ''),
    accounts          text[] check (cardinality(accounts) between 1 and 100),
    interval_seconds  integer not null default 60 check (interval_seconds between 1 and 86400),
    is_enabled        boolean not null default true,
    next_due_at       timestamptz not null default '1970-01-01Z',
    leased_by         text,
    leased_until      timestamptz,
    last_polled_at    timestamptz,
    last_error        text,
    last_error_at     timestamptz,
    check (num_nonnulls(query, accounts) = 1)
);
comment on table pipeline.rules is 'What to collect: one row a rule, seeded from rules.yaml. A rule is leased by the run that polls it.';

create table pipeline.accounts (
    username     text primary key check (username = lower(username)),
    user_id      bigint,
    resolved_at  timestamptz not null,
    problem      text
);
comment on table pipeline.accounts is 'Account names of rules and the ids X gave for them; problem says why there is none.';

create table pipeline.checkpoints (
    rule            text not null references pipeline.rules (name) on delete cascade on update cascade,
    subject         text not null default '',
    since_id        bigint,
    poll_newest_id  bigint,
    poll_until_id   bigint,
    updated_at      timestamptz not null default now(),
    primary key (rule, subject)
);
comment on table pipeline.checkpoints is 'Where the next poll goes on. subject: empty for a search, the user id for a timeline. since_id moves only after the last page of a poll; poll_until_id is the oldest acknowledged id of an unfinished one.';

create table pipeline.pages (
    request_id   text primary key,
    rule         text,
    subject      text not null default '',
    source       text not null,
    endpoint     text not null,
    params       jsonb not null,
    tweet_ids    bigint[] not null,
    topic        text not null,
    topic_id     text collate "C" not null,
    offsets      jsonb not null,
    observed_at  timestamptz not null,
    state        text not null default 'produced' check (state in ('produced', 'settled', 'lost', 'refetched', 'gone')),
    state_at     timestamptz not null default now()
);
create index pages_unsettled on pipeline.pages (state) where state in ('produced', 'lost');
comment on table pipeline.pages is 'Every page (or archive file range) that Kafka acknowledged, with the last offset per partition of its messages. settled: landing has passed them all; lost: the log went before that; gone: X gives it no more.';

create table pipeline.spend (
    reservation   uuid primary key,
    rule          text,
    endpoint      text not null,
    reserved_usd  numeric(12, 4) not null check (reserved_usd >= 0),
    actual_usd    numeric(12, 4) check (actual_usd >= 0),
    reserved_at   timestamptz not null default now(),
    settled_at    timestamptz
);
create index spend_reserved_at on pipeline.spend (reserved_at);
comment on table pipeline.spend is 'Every priced request, reserved before it is sent. A reservation whose request never came back keeps counting.';

create table pipeline.cursors (
    stage             text not null check (stage in ('landing', 'transform')),
    topic             text not null,
    topic_id          text collate "C" not null,
    partition         integer not null check (partition >= 0),
    start_offset      bigint not null default 0,
    next_offset       bigint not null default 0,
    epoch             bigint not null default 0,
    owner_pid         integer,
    owner_started_at  timestamptz,
    updated_at        timestamptz not null default now(),
    primary key (stage, topic_id, partition),
    check (next_offset >= start_offset)
);
comment on table pipeline.cursors is 'How far each stage has come. epoch and owner fence zombies: whoever takes a partition raises the epoch and ends the backend of the one before.';

create table pipeline.observations (
    topic_id   text collate "C" not null,
    partition  integer not null,
    "offset"   bigint not null,
    tweet_id   bigint,
    is_data    boolean not null
);
create unique index observations_key on pipeline.observations (topic_id, partition, "offset", tweet_id) nulls not distinct;
create index observations_tweet on pipeline.observations (tweet_id);
comment on table pipeline.observations is 'Where in raw each tweet was seen: the way from a tweet id to every raw document that holds it (deletions), and the proof of what was loaded (accounting). tweet_id is null for an envelope that carries no tweet.';

create table pipeline.dead_letters (
    topic_id     text collate "C" not null,
    partition    integer not null,
    "offset"     bigint not null,
    stage        text not null,
    reason       text not null,
    detail       text not null,
    payload      bytea,
    failed_at    timestamptz not null default now(),
    resolved_at  timestamptz,
    primary key (topic_id, partition, "offset", stage)
);
comment on table pipeline.dead_letters is 'Landed envelopes that could not be loaded, with their bytes. Those that could not even be landed are in MongoDB dead_letters.';

create table pipeline.gaps (
    id           bigint generated always as identity primary key,
    kind         text not null check (kind in ('offsets', 'tweets', 'window')),
    rule         text,
    topic_id     text collate "C",
    partition    integer,
    from_offset  bigint,
    to_offset    bigint,
    tweet_ids    bigint[],
    reason       text not null,
    noticed_at   timestamptz not null default now()
);
create unique index gaps_offsets on pipeline.gaps (topic_id, partition, from_offset) where kind = 'offsets';
comment on table pipeline.gaps is 'What is known to be missing and could not be had again. Loud by design: status and alerts show every row.';

create table pipeline.tombstones (
    tweet_id    bigint primary key,
    reason      text not null,
    removed_at  timestamptz not null default now()
);
comment on table pipeline.tombstones is 'Tweets that must not come back. Deletion is absorbing: no replay and no later observation loads them again.';

create table pipeline.schema_drift (
    object         text not null,
    field          text not null,
    seen_count     bigint not null default 0,
    first_seen_at  timestamptz not null default now(),
    last_seen_at   timestamptz not null default now(),
    primary key (object, field)
);
comment on table pipeline.schema_drift is 'Fields of X that the tables do not know: kept in raw, counted here.';
