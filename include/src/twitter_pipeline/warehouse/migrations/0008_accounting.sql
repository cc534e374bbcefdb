-- Nothing moves over what it did not see: which raw store belongs to these cursors, what the log itself skipped,
-- how far every offset was accounted for, which partition fails, and what an operator settled.

create table pipeline.raw_stores (
    store_id      text primary key,
    is_current    boolean not null default true,
    adopted_at    timestamptz not null default now(),
    adopted_by    text not null,
    reason        text not null
);
create unique index raw_stores_current on pipeline.raw_stores (is_current) where is_current;
comment on table pipeline.raw_stores is 'The identity of the raw store (MongoDB pipeline_marks) that the cursors speak of. Another identity stops landing and transform.';

create table pipeline.empty_ranges (
    topic_id     text collate "C" not null,
    partition    integer not null check (partition >= 0),
    from_offset  bigint not null,
    to_offset    bigint not null,
    noticed_at   timestamptz not null default now(),
    primary key (topic_id, partition, from_offset),
    check (to_offset > from_offset)
);
comment on table pipeline.empty_ranges is 'Offsets that the log itself skipped while it still held what lies around them (transactions, compaction): nothing is missing, but our topic has neither, so somebody should look.';

create table pipeline.accounted (
    topic_id           text collate "C" not null,
    partition          integer not null check (partition >= 0),
    accounted_to       bigint not null,
    unaccounted_count  bigint not null default 0,
    unaccounted        bigint[] not null default '{}',
    checked_at         timestamptz not null default now(),
    primary key (topic_id, partition)
);
comment on table pipeline.accounted is 'How far the accounting has looked at every offset, so that it never looks at the same range twice. unaccounted: offsets before accounted_to that have no document, dead letter, gap or row; they are looked at again each time.';

alter table pipeline.cursors add column failed_at timestamptz, add column last_error text;
comment on column pipeline.cursors.last_error is 'What stopped this partition last; null again once its cursor moves.';

alter table pipeline.dead_letters add column resolution text, add column resolved_by text;
create index dead_letters_open on pipeline.dead_letters (failed_at desc) where resolved_at is null;

alter table pipeline.gaps add column settled_at timestamptz, add column settled_by text, add column settlement text;
comment on column pipeline.gaps.settled_at is 'When an operator accepted the loss; a settled gap stays in the books and is no trouble any more.';

-- 'raw': documents that were given up after they were loaded; no tweet is missing
alter table pipeline.gaps drop constraint gaps_kind_check;
alter table pipeline.gaps add constraint gaps_kind_check check (kind in ('offsets', 'tweets', 'window', 'raw'));
