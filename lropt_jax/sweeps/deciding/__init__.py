"""Who goes on: rules that prune or replace, and searches that propose."""
