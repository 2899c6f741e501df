"""What came out: the table as it fills, the result, and what can be read from it."""
