"""Output for people: complete exports as files, and a search in the newest tweets."""
