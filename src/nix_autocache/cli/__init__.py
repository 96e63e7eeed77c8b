"""The commands, one file each; start reading with `setup`. `main` turns errors into exit codes."""
