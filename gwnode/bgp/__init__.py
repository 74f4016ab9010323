"""A tenant's BGP router: one BIRD in its compartment."""
