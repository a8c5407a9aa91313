"""One part, in this process: python -m gpu PART DEVICE FOLDER."""

import importlib
import sys
import traceback
from pathlib import Path

from gpu.day import Day, Skip, in_a_line, send
from optlab.errors import UserError


def main(name: str, device: str, folder: str) -> None:
    day = Day(device, Path(folder))
    end, reason = "ok", ""
    try:
        importlib.import_module(name).measure(day)
        if day.failures:
            end, reason = "failed", "; ".join(day.failures)
    except Skip as skip:
        end, reason = "skipped", str(skip)
    except UserError as error:
        end, reason = "failed", str(error)
    except ModuleNotFoundError as error:
        end, reason = "skipped", f"needs the package {error.name}, which is not installed"
        if (error.name or "").partition(".")[0] in ("optlab", "gpu"):
            end, reason = "failed", in_a_line(error)
    except Exception as error:
        traceback.print_exc()
        end, reason = "failed", in_a_line(error)
    send(end=end, reason=reason)


if __name__ == "__main__":
    main(*sys.argv[1:])
