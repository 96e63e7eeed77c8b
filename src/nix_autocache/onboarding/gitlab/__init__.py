"""`init` for GitLab: the project by python-gitlab, and the pipeline that is proposed."""
