"""Training: from the settings of a run to its evaluations. Needs PyTorch.

`settings` says what is trained, `loop` trains it. Every file here triggers the runs of every study,
so what cannot change a figure of a run belongs elsewhere. Imports only `errors`, `files`, `custom`.
"""
