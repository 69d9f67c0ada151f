"""Images from one generation's form into another's: rules and values, without I/O (FORMATS). PURE."""
