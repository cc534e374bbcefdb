-- A page of the accounts seen, newest id first, as JSON. Conditions and object as in tweets.sql.
with page as materialized (
    select account.id from twitter.users account
    where true
        /* filters */
    order by account.id desc
    limit :limit::bigint + 1
)
select coalesce(json_agg(/* object */ order by account.id desc), '[]')::text as body,
    count(*) as shown_count,
    min(account.id) as last_id,
    (select count(*) from page) as found_count
from (select id from page order by id desc limit :limit::bigint) chosen
join twitter.users account using (id)
