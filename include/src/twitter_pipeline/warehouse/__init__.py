"""The warehouse: schemas `twitter` and `pipeline` in PostgreSQL, and how they come about."""
