"""Many captures: workers, the store that remembers what is done, and what can be asked of it."""
