"""Finds the CI host of a job. A new host is a file beside this one and a branch here."""

from __future__ import annotations

from collections.abc import Mapping

from .host import Host


def detect(environ: Mapping[str, str]) -> Host:
    """The host of this job; `Local` if none is recognised."""
    if environ.get("GITHUB_ACTIONS") == "true":
        from .github import GitHub

        return GitHub(environ)
    if environ.get("CI_JOB_ID") and environ.get("CI_PIPELINE_SOURCE"):  # GITLAB_CI is false on a local runner
        from .gitlab import GitLab

        return GitLab(environ)
    from .local import Local

    return Local(environ)
