"""The trials of a search: the journal that its workers share, what a worker does, and one trial."""
