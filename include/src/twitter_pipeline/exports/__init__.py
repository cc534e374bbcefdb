"""Doors out for people: whole exports as files, and a look at the newest tweets."""
