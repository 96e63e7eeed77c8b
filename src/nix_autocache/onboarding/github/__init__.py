"""`init` for GitHub: the repository by PyGithub, and the workflow that is proposed."""
