-- Tweets and what hangs on them. Two kinds of columns:
--   fixed    once X has said it, it stays; filled by whichever observation has it (least() keeps any order
--            of arrival equal even when a corrupt source contradicts itself)
--   volatile belong to a group with a *_version; replaced only by a newer observation that requested them
-- A version is a uuid that sorts like (observed_at, data before includes, content hash).

create function twitter.observed_at(version uuid) returns timestamptz
language sql immutable strict parallel safe
return timestamptz 'epoch' + (('x' || translate(left(version::text, 18), '-', ''))::bit(64)::bigint) * interval '1 microsecond';
comment on function twitter.observed_at is 'When the observation behind a *_version was made; the epoch means: unknown (an archive without a time).';

create table twitter.users (
    id                         bigint primary key,
    created_at                 timestamptz,
    username                   text,
    name                       text,
    name_version               uuid,
    description                text,
    description_version        uuid,
    location                   text,
    location_version           uuid,
    url                        text,
    url_version                uuid,
    profile_image_url          text,
    profile_image_url_version  uuid,
    is_protected               boolean,
    is_protected_version       uuid,
    is_verified                boolean,
    is_verified_version        uuid,
    verified_type              text,
    verified_type_version      uuid,
    pinned_tweet_id            bigint,
    pinned_tweet_id_version    uuid,
    followers_count            bigint,
    following_count            bigint,
    tweet_count                bigint,
    listed_count               bigint,
    like_count                 bigint,
    media_count                bigint,
    metrics_version            uuid,
    loaded_at                  timestamptz not null default clock_timestamp()
);
comment on table twitter.users is 'One row per account seen. An account known by id only (its object was missing) is a row with an id and nulls.';

create table twitter.tweets (
    id                          bigint primary key,
    author_id                   bigint,
    created_at                  timestamptz,
    conversation_id             bigint,
    in_reply_to_user_id         bigint,
    text                        text,
    note_text                   text,
    lang                        text,
    source                      text,
    place_id                    text,
    community_id                bigint,
    media_keys                  text[],
    poll_ids                    text[],
    edit_history_ids            bigint[],
    possibly_sensitive          boolean,
    possibly_sensitive_version  uuid,
    reply_settings              text,
    reply_settings_version      uuid,
    withheld_copyright          boolean,
    withheld_country_codes      text[],
    withheld_version            uuid,
    retweet_count               bigint,
    reply_count                 bigint,
    like_count                  bigint,
    quote_count                 bigint,
    bookmark_count              bigint,
    impression_count            bigint,
    metrics_version             uuid,
    is_collected                boolean not null,
    is_sanitized                boolean not null default false,
    is_created_at_derived       boolean not null default false,
    loaded_at                   timestamptz not null default clock_timestamp()
);
create index tweets_author on twitter.tweets (author_id, id);
comment on table twitter.tweets is 'One row per tweet. is_collected: it came as data of a rule, not only as an include of another tweet.';

create table twitter.tweet_rules (
    tweet_id  bigint not null,
    rule      text not null,
    primary key (tweet_id, rule)
);
comment on table twitter.tweet_rules is 'Which rules brought which tweets.';

create table twitter.hashtags (
    tag            text primary key,
    display_tag    text not null,
    first_used_at  timestamptz
);
comment on table twitter.hashtags is 'Hashtags in normal form (NFC, case-folded); display_tag is one spelling that was used.';

create table twitter.tweet_hashtags (
    tweet_id     bigint not null,
    tag          text not null,
    start_index  integer,
    end_index    integer,
    primary key (tweet_id, tag)
);
create index tweet_hashtags_tag on twitter.tweet_hashtags (tag, tweet_id);
comment on table twitter.tweet_hashtags is 'Hashtags of a tweet, once each; indexes count Unicode code points of text, end exclusive, null when only the long text has it.';

create table twitter.tweet_mentions (
    tweet_id     bigint not null,
    username     text not null,
    user_id      bigint,
    start_index  integer,
    end_index    integer,
    primary key (tweet_id, username)
);
comment on table twitter.tweet_mentions is 'Accounts mentioned, username in lower case; X often leaves the id out.';

create table twitter.tweet_urls (
    tweet_id      bigint not null,
    url           text not null,
    expanded_url  text,
    display_url   text,
    unwound_url   text,
    title         text,
    description   text,
    media_key     text,
    start_index   integer,
    end_index     integer,
    primary key (tweet_id, url)
);
comment on table twitter.tweet_urls is 'Links of a tweet as X shortened and resolved them.';

create table twitter.tweet_references (
    tweet_id             bigint not null,
    type                 text not null,
    referenced_tweet_id  bigint not null,
    primary key (tweet_id, type, referenced_tweet_id)
);
create index tweet_references_referenced on twitter.tweet_references (referenced_tweet_id);
comment on table twitter.tweet_references is 'replied_to, quoted, retweeted: the tweet it points at may be absent, X does not always give it.';

create table twitter.tweet_metrics (
    tweet_id          bigint not null,
    observed_at       timestamptz not null,
    retweet_count     bigint,
    reply_count       bigint,
    like_count        bigint,
    quote_count       bigint,
    bookmark_count    bigint,
    impression_count  bigint,
    version           uuid not null,
    primary key (tweet_id, observed_at)
);
comment on table twitter.tweet_metrics is 'Every observation of the public metrics, appended. Retweets always show zero likes and the count of the original: never sum over retweets.';
