"""Data quality: contracts for all tables, their verification, and a history of the results."""
