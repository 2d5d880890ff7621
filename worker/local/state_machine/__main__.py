"""``python -m worker.local.state_machine``: see ``process``."""

from worker.local.state_machine.process import main

if __name__ == "__main__":
    main()
