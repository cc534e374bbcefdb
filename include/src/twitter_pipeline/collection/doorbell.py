"""The question behind the doorbell of `tweet_extraction`: which rules are due."""

# a row is a rule and the time it is due at, so that each time has a ring of its own; what is parked, disabled or
# leased rings for nobody
DUE_RULES = """
select name, next_due_at from pipeline.rules
where is_enabled and parked_at is null and next_due_at <= now() and (leased_until is null or leased_until < now())
order by next_due_at, name limit 1000
"""
