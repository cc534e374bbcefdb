"""The reading side, in one place: what can be selected, which columns are served, and the SQL to list, count and search.

`parsing` turns texts into values, `selection` collects them, `conditions` turns them into SQL, `columns` defines what a
tweet and an account consist of, `statements` fills in the files in sql/, and `search` finds words. The API, the exports
and the commands build on it. The views in schema `twitter` decide which rows people may read at all.
"""
