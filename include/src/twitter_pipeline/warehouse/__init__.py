"""The warehouse: schemas `twitter` and `pipeline` in PostgreSQL, and their migrations, model and observations."""
