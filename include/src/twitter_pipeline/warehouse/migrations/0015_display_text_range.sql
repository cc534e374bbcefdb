-- Which part of a text X shows. Tweets that were loaded before get it when they are observed again, or rebuilt from raw.

alter table twitter.tweets add column display_text_range integer[];
call twitter.define_views();
