"""Pages that need no other file: one look and one set of parts for every report."""
