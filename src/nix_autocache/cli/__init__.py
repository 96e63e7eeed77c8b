"""The commands, one file each; start reading with `setup`.

`main` is the entry and turns errors into exit codes; `verbs` is the table of the commands.
"""
