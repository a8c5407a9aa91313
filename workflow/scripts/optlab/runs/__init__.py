"""The files of a run: its metrics, the record beside them, and its progress while it is unfinished.

No rule is triggered by them. Imports `machine`, `files`, `values`.
"""
