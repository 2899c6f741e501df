"""How it is trained: lanes through one compiled segment, from visit to visit of the host."""
