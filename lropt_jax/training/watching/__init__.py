"""What is watched of a training beside its metrics: curvature, movement, noise."""
