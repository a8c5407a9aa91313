"""Networks. Each file has ``build(shape, outputs, **options)``, which returns a module on the CPU.

``shape`` is that of one example (without the batch) and ``outputs`` the number of outputs. The
options and their defaults are in `optlab.catalogue.networks`.
"""
