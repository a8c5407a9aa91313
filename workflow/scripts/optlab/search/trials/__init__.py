"""The trials of a search: the journal that its workers share, one worker, and one trial."""
