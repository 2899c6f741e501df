"""Which is better? The tuned comparison, its words, tables and report."""
