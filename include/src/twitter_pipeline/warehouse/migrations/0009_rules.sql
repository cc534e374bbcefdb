-- Where a rule came from, whether X refused it, and how it is polled. What an operator has to know stands in notices.

alter table pipeline.rules
    add column page_size        integer not null default 100 check (page_size between 10 and 100),
    add column first_poll_days  integer not null default 7 check (first_poll_days between 1 and 7300),
    add column overlap_seconds  integer not null default 60 check (overlap_seconds between 0 and 3600),
    add column budget_usd       numeric(12, 4) check (budget_usd > 0),
    add column source           text check (source in ('file', 'command')),
    add column source_file      text,
    add column removed_at       timestamptz,
    add column parked_at        timestamptz,
    add column parked_reason    text,
    add check ((source_file is not null) = (source is not distinct from 'file')),
    add check (query is null or first_poll_days <= 7),
    add check (removed_at is null or not is_enabled),
    add check ((parked_at is null) = (parked_reason is null));
comment on table pipeline.rules is 'What to collect: one row a rule, from rules.yaml or by a command. A rule is leased by the run that polls it. Polled are those that are enabled, not parked and not removed.';
comment on column pipeline.rules.source is 'file, command, or null for a rule of before migration 0009 that no file has named yet';
comment on column pipeline.rules.source_file is 'The rules file that governs the rule: when it no longer names it, the rule stops';
comment on column pipeline.rules.removed_at is 'When the rule left its file or was removed by a command; it keeps its checkpoints';
comment on column pipeline.rules.parked_at is 'When X refused the rule; it is not asked again until it is edited or unparked';
comment on column pipeline.rules.budget_usd is 'The most that the rule may cost in a calendar month (UTC); null: only the total budget holds';
comment on column pipeline.rules.last_polled_at is 'When something was last read for the rule';

create table pipeline.notices (
    subject     text primary key,
    notice      text not null,
    noticed_at  timestamptz not null default now()
);
comment on table pipeline.notices is 'What an operator should look at, one row a subject, for as long as it holds: such as a rules file that cannot be used.';
