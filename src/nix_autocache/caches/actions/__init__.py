"""The cache of the CI host itself, GitHub's Actions cache and what speaks its protocol; for `cache: gha://`."""
