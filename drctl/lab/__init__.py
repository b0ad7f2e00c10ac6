"""The embedded lab: hosts, databases, object store and people small enough to live in one folder, real enough to fail.

`drctl.lab.api` is the way in (up, status, break, down). Nothing here imports the product: a bug shared by both would be
agreed upon instead of found.
"""
