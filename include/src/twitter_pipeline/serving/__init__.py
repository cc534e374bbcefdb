"""The reading side, once: what may be selected, the columns that are served, and the SQL that lists, counts and finds.

parsing turns texts into values, selection gathers them, conditions makes SQL of them, columns says what a tweet and an
account consist of, statements fills the files in sql/, search finds words. The API, the exports and the commands stand
on it; what a person may read at all is said by the views of schema `twitter`.
"""
