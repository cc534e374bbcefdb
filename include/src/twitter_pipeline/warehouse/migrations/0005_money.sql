-- What a request may have cost is kept until somebody knows it, and requests of which nobody knows are not repeated
-- without end.

alter table pipeline.spend
    add column api text,
    add column result_count integer check (result_count >= 0),
    add column unknown_at timestamptz,
    add column settled_by text check (settled_by in ('answer', 'usage', 'operator')),
    add column overshoot_allowed_at timestamptz,
    add column owner_pid integer,
    add column owner_started_at timestamptz;
create index spend_unsettled on pipeline.spend (reserved_at) where actual_usd is null;
create index spend_overshoots on pipeline.spend (rule) where actual_usd > reserved_usd and overshoot_allowed_at is null;
comment on table pipeline.spend is 'Every priced request, reserved before it is sent. Without actual_usd it counts at reserved_usd: it is under way, or (unknown_at) nobody knows whether X charged for it. A rule with an answer that cost more than was reserved stops until overshoot_allowed_at is set. api: whom it went to, see circuits; owner: the backend that reserved it, so that a killed request is noticed.';

create table pipeline.circuits (
    api               text primary key,
    unknown_in_a_row  integer not null default 0 check (unknown_in_a_row >= 0),
    opened_at         timestamptz,
    probe_at          timestamptz,
    probe_wait        interval,
    probe             uuid,
    check (num_nulls(opened_at, probe_at, probe_wait) in (0, 3))
);
comment on table pipeline.circuits is 'Per API (base URL and a fingerprint of the token) how many requests in a row ended without anybody knowing what they cost. Three open the circuit: nothing is sent but the smallest request as a probe, from probe_at on, after waits that double from 15 minutes to a day. A success closes it.';

create table pipeline.budget_warnings (
    month_on    date not null,
    rule        text not null default '',
    budget_usd  numeric(12, 4) not null,
    warned_at   timestamptz not null default now(),
    primary key (month_on, rule, budget_usd)
);
comment on table pipeline.budget_warnings is 'Which budgets have passed 80 % in a month, so that it is said once. rule: empty for the budget of all rules together.';
