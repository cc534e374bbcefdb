-- The stage that lands is called `land` everywhere; its cursors were called `landing`.

alter table pipeline.cursors drop constraint cursors_stage_check;
update pipeline.cursors set stage = 'land' where stage = 'landing';
alter table pipeline.cursors add constraint cursors_stage_check check (stage in ('land', 'transform'));
