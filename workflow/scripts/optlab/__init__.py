"""What the programs of the optimizer laboratory share: one subject a module."""
