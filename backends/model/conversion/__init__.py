"""Images from one generation's form into another's: rules and values, without I/O (FORMATS sections 2 to 5). PURE.

Invariants: the same image gives the same bytes wherever and whenever it is converted; entries and layers are in order
from the base to the top everywhere but in the text of schema 1 itself; what is no image is a ValueError, what the other
form has no room for an `ImpossibleConversion`.
"""
