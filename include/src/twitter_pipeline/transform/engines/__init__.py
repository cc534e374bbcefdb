"""Engines: implementations that turn raw documents into rows, all with the same result."""
