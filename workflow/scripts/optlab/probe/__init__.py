"""The probe: what a study names is tried for a few steps before its runs train for hours.

`questions` says what is to be tried, `trial` tries it, `answers` keeps what came out, so that the
same content is not tried again, and says it in a line each. Only `trial` needs PyTorch. Imports
`study`, `training`, `runs` and what is below them.
"""
