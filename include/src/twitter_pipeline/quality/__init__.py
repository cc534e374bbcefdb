"""Data quality: contracts of all tables, verified, and their results kept with history."""
