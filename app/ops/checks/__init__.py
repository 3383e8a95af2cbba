"""What can be wrong with the work, since when, and the cure: for health, watch and doctor."""
