"""Networks. Each file has ``build(shape, outputs, **options)``, which returns a module on the CPU.

``shape`` is that of one example (without the batch), ``outputs`` the number of outputs; the
options and their defaults are in `optlab.catalogue.networks`.
"""
