"""Training: from the settings of a run to its evaluations. Needs PyTorch.

`settings` describes a run and `loop` trains it. Every file of this package is a rerun trigger of
every run, so code that cannot change a result belongs elsewhere. `checkpoints`, `settings` and
`world` import PyTorch only where they need it: programs import them before they know whether
anything is left to train. Imports only `errors`, `files` and `custom` of the other packages.
"""
