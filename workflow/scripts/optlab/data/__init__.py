"""Data sets: from a source to prepared tensors.

`identity` names the file that a definition is prepared into; `prepare` reads (`archives`, `arrays`,
`builtin`), splits (`splits`) and writes it. `identity` needs only the standard library, the others
NumPy; only `archives` imports torchvision. Imports `catalogue`, `errors`, `files`.
"""
