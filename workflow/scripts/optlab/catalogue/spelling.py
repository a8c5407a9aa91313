"""Names as people write them: RMSProp, CIFAR-10 and Fashion-MNIST are names of the catalogue.

Capitals and punctuation are understood where they leave one name. A misprint is not corrected: the
error says which name was probably meant.
"""

from collections.abc import Iterable

from optlab.errors import bare


def known(name: str, names: Iterable[str]) -> str:
    """The one of these names that ``name`` spells, or ``name`` itself: if none, or several.

    One of the names as it is written is that one. Code, ``package.module:name``, is never spelled.
    """
    names = list(names)
    if name in names or ":" in name:
        return name
    found = [one for one in names if bare(one) == bare(name)]
    return found[0] if len(found) == 1 else name
