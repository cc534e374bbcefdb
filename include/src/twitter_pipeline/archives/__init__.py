"""The second way into the pipeline: tweets collected earlier, from files into Kafka and from there on like all others.

`unpacking`, `encodings` and `reading` find the records in a file. `pages` recognises the format of a record, and a module
in formats/ turns it into a page. `envelopes` writes what the provider would have written, `importing` produces and
records it, and `command` is the command line.
"""
