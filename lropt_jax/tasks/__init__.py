"""What is trained: a `Task`, and what makes one out of a model and data."""
