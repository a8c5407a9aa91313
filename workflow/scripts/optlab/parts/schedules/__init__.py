"""Learning-rate schedules. Each file has ``build(optimizer, steps, lr, **options)``.

It returns the PyTorch scheduler of a run of ``steps`` steps whose highest rate is ``lr``. The
training loop steps it after each step of the optimizer. The options and their defaults are in
`optlab.catalogue.schedules`.
"""
