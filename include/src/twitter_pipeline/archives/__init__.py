"""The second door into the pipeline: what was collected before, from files into Kafka, on the same way as the rest.

unpacking, encodings and reading find the records of a file; pages tells the format of a record, and formats/ has a
module for each, which makes a page of it; envelopes writes what the provider would have written, importing produces it
and records it, command is what a person calls.
"""
