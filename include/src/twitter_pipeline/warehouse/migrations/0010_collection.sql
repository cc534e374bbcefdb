-- A checkpoint belongs to what was asked; a gap names its window; an account has a state; a lost page is asked for
-- again until X has answered for each of its tweets.

alter table pipeline.checkpoints
    add column since_at        timestamptz,
    add column poll_newest_at  timestamptz,
    add column poll_start_at   timestamptz,
    add column stalled_polls   integer not null default 0 check (stalled_polls >= 0),
    add column abandoned_at    timestamptz;
comment on table pipeline.checkpoints is 'Where the next poll goes on. subject: what was asked, "search" and the query or the user id of a timeline. since_id moves only after the last page of a poll; poll_until_id is the oldest acknowledged id of an unfinished one. abandoned_at: the rule asks something else since then.';
update pipeline.checkpoints set subject = 'search ' || regexp_replace(btrim(query), '\s+', ' ', 'g')
from pipeline.rules where name = rule and query is not null and subject = '';

alter table pipeline.gaps
    add column subject   text,
    add column since_id  bigint,
    add column until_id  bigint,
    add column from_at   timestamptz,
    add column to_at     timestamptz;
comment on table pipeline.gaps is 'What is known to be missing and could not be had again. Loud by design: status and alerts show every row. A window: tweets between since_id and until_id, or from from_at to to_at, as far as each is known.';

alter table pipeline.accounts rename column problem to last_failure;
alter table pipeline.accounts
    add column state             text check (state in ('renamed', 'taken over', 'protected', 'suspended', 'gone', 'disallowed')),
    add column state_since       timestamptz,
    add column state_reason      text,
    add column current_username  text,
    add column previous_user_id  bigint,
    add column ask_again_at      timestamptz,
    add column served_at         timestamptz;
update pipeline.accounts set ask_again_at = resolved_at + interval '1 day' where user_id is null;
comment on table pipeline.accounts is 'Account names of rules, the ids X gave for them, and what X says about them. state is null while nothing is the matter; an account that is protected, suspended or gone is asked for again at ask_again_at.';

alter table pipeline.pages
    add column open_ids      bigint[],
    add column refetch_tries integer not null default 0;
comment on column pipeline.pages.open_ids is 'Of a lost page: the tweets that X has not answered for yet; null before the first try.';
