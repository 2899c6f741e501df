"""What is trained: configurations out of a space, in groups that share a program."""
