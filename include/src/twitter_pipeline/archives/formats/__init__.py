"""What records of archives look like, a format each, and the formats of others, which are refused by name."""
