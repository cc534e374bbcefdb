"""Engines: ways of turning raw documents into rows, each giving the same."""
