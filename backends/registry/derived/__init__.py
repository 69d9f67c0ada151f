"""What conversions make, for clients of other generations, and how it is kept (FORMATS, DECISIONS 3)."""
