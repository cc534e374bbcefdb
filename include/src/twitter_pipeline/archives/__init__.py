"""The second door into the pipeline: what was collected before, from files into Kafka, on the same way as the rest.

reading finds the records of a file, pages reads one as X's answer (flattened undoes twarc's inlining), envelopes
writes what the provider would have written, importing produces it and keeps the books, command is what a person calls.
"""
