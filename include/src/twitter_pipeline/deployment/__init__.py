"""What production needs before anything runs: roles, databases and tables, rules, topics, the topics of alerts.

Everything here is idempotent and works on servers that somebody else started: containers, managed services, or the
embedded stack, which uses it too. `twitter-pipeline migrate` and `twitter-pipeline topics keep` are its commands.
"""
