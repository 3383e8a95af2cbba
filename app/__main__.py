"""`autotask-cc …`, also `python -m app …`."""

import sys

try:
    from app.cli import main
except KeyboardInterrupt:  # Ctrl-C before the command line is there to handle it
    sys.exit(130)

if __name__ == "__main__":
    main()
