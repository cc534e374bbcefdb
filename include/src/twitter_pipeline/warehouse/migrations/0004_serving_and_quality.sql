-- What the contracts found, kept with its history, and the ways in which readers look tweets up.

create table pipeline.quality_results (
    id           bigint generated always as identity primary key,
    run_id       text not null,
    contract     text not null,
    check_name   text not null,
    column_name  text,
    outcome      text not null check (outcome in ('passed', 'failed', 'not_evaluated')),
    measured     numeric,
    threshold    text,
    checked_at   timestamptz not null default now()
);
create index quality_results_newest on pipeline.quality_results (contract, checked_at desc);
comment on table pipeline.quality_results is 'Every check of every contract that was run. contract: schema.table; not_evaluated: the check could not be asked.';

create index tweets_created_at on twitter.tweets (created_at) where is_collected;
create index tweet_rules_rule on twitter.tweet_rules (rule, tweet_id);
create index users_username on twitter.users (lower(username));
