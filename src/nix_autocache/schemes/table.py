"""One row for each kind of store URL, with all that is known of it. Data only; imports nothing of ours.

To add a destination, write its file in `caches/` and its row here: every other module takes what it knows of a scheme
from the row. A scheme without a row is left to `nix copy` (`OTHER`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from . import parameters
from .scheme import Credentials, Scheme, SecretFile

_AWS_FILES: Final = ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")
AWS: Final = Credentials(
    provider="AWS",
    cloud="aws",
    variables=("AWS_",),
    sufficient=("AWS_ACCESS_KEY_ID", _AWS_FILES[0]),
    complete=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    secret_files=(
        SecretFile(
            variable=_AWS_FILES[0],
            text_variable="",
            value_variables=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
            program_key="credential_process",
        ),
        SecretFile(variable=_AWS_FILES[1], text_variable="", value_variables=(), program_key="credential_process"),
    ),
    token_files=("AWS_WEB_IDENTITY_TOKEN_FILE",),
    home_files=(".aws/credentials", ".aws/config"),
    profile="AWS_PROFILE",
    of_host=False,
)
"""Also for a signing key that is in AWS, whatever the cache is."""
_GOOGLE: Final = Credentials(
    provider="Google",
    cloud="google",
    variables=("GOOGLE_",),
    sufficient=("GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_APPLICATION_CREDENTIALS"),
    complete=(),
    secret_files=(
        SecretFile(
            variable="GOOGLE_APPLICATION_CREDENTIALS",
            text_variable="GOOGLE_SERVICE_ACCOUNT_KEY",
            value_variables=(),
            program_key="",
        ),
    ),
    token_files=(),
    home_files=(".config/gcloud/application_default_credentials.json",),
    profile="",
    of_host=False,
)
_AZURE: Final = Credentials(
    provider="Azure",
    cloud="azure",
    variables=("AZURE_",),
    sufficient=("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_KEY"),
    complete=(),
    secret_files=(),
    token_files=("AZURE_FEDERATED_TOKEN_FILE",),
    home_files=(".azure",),
    profile="",
    of_host=False,
)
_GITHUB: Final = Credentials(
    provider="GitHub",
    cloud="github",
    variables=(
        "ACTIONS_RUNTIME_TOKEN",
        "ACTIONS_RESULTS_URL",
        "ACTIONS_CACHE_",
        "GITHUB_SERVER_URL",
        "GITHUB_RUN_ID",
        "GITHUB_RUN_ATTEMPT",
    ),
    sufficient=("ACTIONS_RESULTS_URL", "ACTIONS_CACHE_URL"),
    complete=(),
    secret_files=(),
    token_files=(),
    home_files=(),
    profile="",
    of_host=True,
)

_HTTP_OPENER: Final = "nix_autocache.caches.http.open_http"
_EARLY_HTTP_OPENER: Final = "nix_autocache.caches.http.open_early"
_NIX_COPY_OPENER: Final = "nix_autocache.caches.nix_copy.open_nix_copy"
_ROWS: Final = (
    Scheme(
        name="file",
        opener="nix_autocache.caches.directory.open_directory",
        parameters=parameters.BINARY_CACHE,
        address="directory",
        read_by_nix=True,
        read_by_proxy=False,
        credentials=None,
        other_user_can_push=True,
    ),
    *(
        Scheme(
            name=name,
            opener=_HTTP_OPENER,
            early_opener=_EARLY_HTTP_OPENER,
            parameters=parameters.HTTP,
            address="host",
            read_by_nix=True,
            read_by_proxy=True,
            credentials=None,
            path_is_encoded=True,
            other_user_can_push=True,
        )
        for name in ("http", "https")
    ),
    Scheme(
        name="s3",
        opener="nix_autocache.caches.s3.open_s3",
        parameters=parameters.S3,
        address="bucket",
        read_by_nix=True,
        read_by_proxy=True,
        credentials=AWS,
        init_storage="aws.storage",
        other_user_can_push=True,
    ),
    Scheme(
        name="gs",
        opener="nix_autocache.caches.gcs.open_gcs",
        parameters=parameters.GOOGLE,
        address="bucket",
        read_by_nix=False,
        read_by_proxy=True,
        credentials=_GOOGLE,
        init_storage="google_storage",
        other_user_can_push=True,
    ),
    Scheme(
        name="az",
        opener="nix_autocache.caches.azure.open_azure",
        parameters=parameters.AZURE,
        address="bucket",
        read_by_nix=False,
        read_by_proxy=True,
        credentials=_AZURE,
        other_user_can_push=True,
    ),
    Scheme(
        name="gha",
        opener="nix_autocache.caches.actions.cache.open_actions",
        parameters=parameters.ACTIONS,
        address="repository",
        read_by_nix=False,
        read_by_proxy=True,
        credentials=_GITHUB,
        other_user_can_push=True,
    ),
    *(
        Scheme(
            name=name,
            opener=_NIX_COPY_OPENER,
            parameters=parameters.SSH,
            address="host",
            read_by_nix=True,
            read_by_proxy=False,
            credentials=None,
            any_parameters=True,
            login_is_secret=False,
            path_is_encoded=True,
        )
        for name in ("ssh", "ssh-ng")
    ),
)
SCHEMES: Final[Mapping[str, Scheme]] = MappingProxyType({row.name: row for row in _ROWS})
OTHER: Final = Scheme(
    name="",
    opener=_NIX_COPY_OPENER,
    parameters=parameters.STORE,
    address="other",
    read_by_nix=True,
    read_by_proxy=False,
    credentials=None,
    any_parameters=True,
    login_is_secret=False,
    path_is_encoded=True,
)


def scheme(name: str) -> Scheme:
    """The row of a scheme by its name in lower case."""
    return SCHEMES.get(name, OTHER)


def all_credentials() -> list[Credentials]:
    """Those of every scheme: a job's environment may hold any of them, whatever its cache is."""
    return [row.credentials for row in SCHEMES.values() if row.credentials]


def needed_credentials(row: Scheme, *, key_in_aws: bool) -> list[Credentials]:
    """Those that an uploader needs: for its cache, and for a signing key that is in AWS."""
    needed = [row.credentials, AWS if key_in_aws else None]
    return list({each.cloud: each for each in needed if each}.values())


def given_by_host(environ: Mapping[str, str]) -> Scheme | None:
    """The scheme of the cache that the CI host keeps and lets this step use; None if it does not."""
    rows = (row for row in SCHEMES.values() if row.kept_by_host)
    return next((row for row in rows if row.credentials and row.credentials.are_sufficient(environ)), None)


def credential_prefixes(row: Scheme | None = None) -> tuple[str, ...]:
    """Of the names of environment variables that may hold credentials of any scheme.

    With a `row`, those of the CI host's own cache are left out if that is no cache of this scheme.
    """
    wanted = [each for each in all_credentials() if row is None or not each.of_host or each is row.credentials]
    return tuple(sorted({prefix for each in wanted for prefix in each.variables}))


def secret_files() -> dict[str, SecretFile]:
    """Of every scheme, by the variables that name them."""
    return {file.variable: file for each in all_credentials() for file in each.secret_files}


def token_files() -> tuple[str, ...]:
    """The variables that name a file with a token, of every scheme."""
    return tuple(sorted({name for each in all_credentials() for name in each.token_files}))
