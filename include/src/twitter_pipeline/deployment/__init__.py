"""What production needs before anything runs: roles, databases and tables, rules, Kafka topics, alert topics.

Everything here is idempotent and works on servers started elsewhere: containers, managed services, or the embedded
stack, which uses it too. Its commands are `twitter-pipeline migrate` and `twitter-pipeline topics keep`.
"""
