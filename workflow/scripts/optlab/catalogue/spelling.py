"""Optimizers as people write them: RMSProp, L-BFGS, torch.optim.SGD.

Capitals and punctuation are understood where they leave one name, as in `values.known`. A misprint
is not corrected: the error says which name was probably meant.
"""

from optlab.catalogue.optimizers import OPTIMIZERS
from optlab.values import known


def optimizer(name: str) -> str:
    """The optimizer that a name spells: the name of its entry, or the spec of a class.

    ``torch.optim.SGD`` is the plain entry of this class, which comes before its variants;
    ``torch.optim.ASGD``, which has none, is ``torch.optim:ASGD``.
    """
    module, _, cls = name.rpartition(".")
    if module.lower() != "torch.optim" or not cls.isidentifier():
        return known(name, OPTIMIZERS)
    entries = reversed(OPTIMIZERS.items())
    classes = {one.cls.rpartition(":")[2]: own for own, one in entries if "torch." in one.cls}
    return classes.get(known(cls, classes), f"torch.optim:{cls}")
