"""Finding repositories by a part of their names, or of what they say that they are, however many there are.

A search reads an index: all names and descriptions in one file, and beside it the names of those that have been
changed since, by whatever process. The index is made of the storage, by who searches first, and never its authority:
what it says is looked up before it is shown, and it may be deleted at any time.
"""
