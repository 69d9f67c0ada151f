"""Tags of both generations, in the files that each generation's original program writes."""
