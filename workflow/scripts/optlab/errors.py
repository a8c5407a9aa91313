"""The errors that are the user's to fix: programs print them as one line, without a traceback."""

import errno

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # why a write fails where a disk is full


class UserError(Exception):
    """Something that the user asked for cannot be done; the message is one line in his words."""


class DataError(UserError):
    """A data set, or a file that holds one, is not what it has to be."""
