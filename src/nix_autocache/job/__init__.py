"""One CI job: what was asked, what was decided, its uploads and its report.

Every verb gets a `context.Context`; `setup` leaves a `state.JobState` for the steps that follow.
"""
