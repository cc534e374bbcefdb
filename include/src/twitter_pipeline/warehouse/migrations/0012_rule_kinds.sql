-- A rule is a kind and a spec: what it asks for is its kind's to read, so that another kind needs no other columns.

alter table pipeline.rules
    add column kind  text check (kind ~ '^[a-z][a-z0-9_]{0,62}$'),
    add column spec  jsonb check (jsonb_typeof(spec) = 'object');
update pipeline.rules set
    kind = case when query is not null then 'search' else 'timeline' end,
    spec = case when query is not null then jsonb_build_object('query', query)
        else jsonb_build_object('accounts', to_jsonb(accounts)) end;
-- the checks of query and accounts go with their columns
alter table pipeline.rules
    alter column kind set not null,
    alter column spec set not null,
    drop column query,
    drop column accounts,
    add check (kind <> 'search' or (coalesce(spec ->> 'query', '') <> '' and first_poll_days <= 7)),
    add check (kind <> 'timeline'
        or (jsonb_typeof(spec -> 'accounts') = 'array' and jsonb_array_length(spec -> 'accounts') between 1 and 100) is true);
comment on column pipeline.rules.kind is 'What sort of thing the rule asks for: search, timeline, or another file of collection/kinds';
comment on column pipeline.rules.spec is 'What it asks for, as its kind keeps it: the query of a search; the accounts of a kind that reads accounts';
