"""Numbers as data: what an optimizer's numbers may be, and how they live in its state."""
