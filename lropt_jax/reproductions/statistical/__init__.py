"""Claims about what happens on average, judged by intervals."""
