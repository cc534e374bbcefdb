-- The loader writes rows and changes no table; the reader reads. Roles are made by whoever runs the server.

grant usage on schema twitter, pipeline to pipeline_loader, pipeline_reader;
grant select, insert, update, delete on all tables in schema twitter, pipeline to pipeline_loader;
grant select on all tables in schema twitter, pipeline to pipeline_reader;
grant execute on all functions in schema twitter to pipeline_loader, pipeline_reader;
alter default privileges in schema twitter, pipeline grant select, insert, update, delete on tables to pipeline_loader;
alter default privileges in schema twitter, pipeline grant select on tables to pipeline_reader;
