"""Where it is trained: strategies, widths, devices, processes and executors."""
