"""The second door into the pipeline: what was collected before, from files into Kafka, on the same way as the rest.

unpacking, encodings and reading find the records of a file, pages reads one as X's answer (flattened undoes the inlining
of other tools, vocabularies names what is not of version 2), envelopes writes what the provider would have written,
importing produces it and keeps the books, command is what a person calls.
"""
