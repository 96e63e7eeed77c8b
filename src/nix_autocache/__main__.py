"""`python -m nix_autocache`: the command line, in an environment that is made already."""

from .cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
