"""Reports about a fleet, from its store, in every format."""
