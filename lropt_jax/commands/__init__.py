"""The subcommands of `lropt`, one module each."""
