"""Steps of existing workflows that ours replaces: what is edited, what stays as it is, and what a person must do."""

import textwrap

import pytest
import yaml

from nix_autocache.onboarding.cache_setup import CacheSetup
from nix_autocache.onboarding.github import replaced_steps
from nix_autocache.onboarding.github.action_step import ActionStep
from nix_autocache.onboarding.github.replaced_steps import Edit

COMMIT = "1" * 40
OURS = f"nix-autocache/nix-autocache@{COMMIT}"
KEYS = CacheSetup(cache="s3://b", public_keys=("k-1:x",), secrets=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
ROLE = CacheSetup(cache="s3://b", key_source="aws-ssm:/nix-cache/acme-p", role="arn:aws:iam::1:role/nix-cache-acme-p")


def edited(text: str, setup: CacheSetup | None = None) -> Edit:
    step = ActionStep(setup=setup or CacheSetup(), commit=COMMIT, branches=("main",))
    return replaced_steps.replace("ci.yml", textwrap.dedent(text), step)


def steps(edit: Edit, job: str = "build") -> list[dict[str, object]]:
    found: list[dict[str, object]] = yaml.safe_load(edit.text)["jobs"][job]["steps"]
    return found


def test_the_first_becomes_ours_and_the_others_go() -> None:
    text = """\
        on: push
        jobs:
          build:
            runs-on: ubuntu-24.04   # the usual one
            steps:
              # get the code
              - uses: actions/checkout@v4

              - name: Install Nix  # by its authors
                if: runner.os == 'Linux'
                uses: cachix/install-nix-action@v31  # newest
                with:
                  install_url: https://example.org/nix
                  extra_nix_config: |
                    # faster
                    max-jobs = 4

                    cores = 2
                  nix_path: nixpkgs=channel:nixos-25.05
              - uses: 'cachix/cachix-action@v16'
                with:
                  name: acme
                  authToken: '${{ secrets.CACHIX_AUTH_TOKEN }}'

              # and now
              - run: |
                  nix build
                  # not a comment of YAML
              - {run: echo done}
        """
    edit = edited(text)
    assert edit.text == textwrap.dedent(f"""\
        on: push
        jobs:
          build:
            runs-on: ubuntu-24.04   # the usual one
            steps:
              # get the code
              - uses: actions/checkout@v4

              - name: Install Nix  # by its authors
                if: runner.os == 'Linux'
                uses: {OURS}
                with:
                  extra-nix-conf: |
                    # faster
                    max-jobs = 4

                    cores = 2
                    nix-path = nixpkgs=channel:nixos-25.05

              # and now
              - run: |
                  nix build
                  # not a comment of YAML
              - {{run: echo done}}
        """)
    assert edit.replaced == (
        "`ci.yml`: `cachix/install-nix-action`; without its `install_url`",
        "`ci.yml`: `cachix/cachix-action`; without its `name: acme`, `authToken`",
    )
    assert edit.by_hand == ()


@pytest.mark.parametrize(
    "action",
    [
        "cachix/install-nix-action",
        "cachix/cachix-action",
        "DeterminateSystems/magic-nix-cache-action",
        "DeterminateSystems/nix-installer-action",
        "nixbuild/nix-quick-install-action",
        "nix-community/cache-nix-action",
        "Cachix/Install-Nix-Action",
    ],
)
@pytest.mark.parametrize("dash", ["- uses: ", "-   uses: ", "- name: x\n        uses: ", "- 'uses': "])
def test_each_action_is_known_in_each_form(action: str, dash: str) -> None:
    edit = edited(f"jobs:\n  build:\n    steps:\n      {dash}{action}@v1 # x\n      - run: nix build\n")
    first, second = steps(edit)
    assert first["uses"] == OURS
    assert second == {"run": "nix build"}


def test_each_job_gets_one_and_a_job_that_has_it_gets_no_second() -> None:
    edit = edited(f"""\
        jobs:
          build:
            steps:
            - uses: DeterminateSystems/nix-installer-action@v1
              with:
                  extra-conf: accept-flake-config = true
                  trust-runner-user: false
            - uses: DeterminateSystems/magic-nix-cache-action@main
            - run: nix build
          test:
            steps:
              - uses: nixbuild/nix-quick-install-action@v30
                with: {{nix_conf: "max-jobs = 1", nix_version: "2.24"}}
          ready:
            steps:
              - uses: {OURS}
              - uses: nix-community/cache-nix-action@v6
        """)
    assert steps(edit)[0] == {"uses": OURS, "with": {"extra-nix-conf": "accept-flake-config = true\n"}}
    assert steps(edit)[1:] == [{"run": "nix build"}]
    assert steps(edit, "test") == [{"uses": OURS}]
    assert steps(edit, "ready") == [{"uses": OURS}]
    assert "`ci.yml`: `nixbuild/nix-quick-install-action`; without its `nix_conf`, `nix_version`" in edit.replaced


def test_the_text_of_a_script_and_comments_are_no_steps() -> None:
    text = """\
        # uses: cachix/install-nix-action@v31
        jobs:
          build:
            steps:
              - run: |
                  cat >ci.yml <<END
                  - uses: cachix/install-nix-action@v31
                  END
              - run: >-
                  uses: cachix/cachix-action@v1
              - name: uses it
                run: |2

                    uses: cachix/cachix-action@v1
                env: {A: b}
          other:
            uses: acme/shared/.github/workflows/nix.yml@v1
        """
    edit = edited(text)
    assert edit == Edit(textwrap.dedent(text), (), ())


def test_what_is_not_understood_stays_and_is_named() -> None:
    text = """\
        jobs:
          build:
            steps:
              - { uses: cachix/install-nix-action@v31 }
              - with: {name: acme}
                uses: cachix/cachix-action@v16
              - uses: cachix/install-nix-action@v31
                env: {GITHUB_TOKEN: x}
        """
    edit = edited(text, KEYS)
    assert edit.text == textwrap.dedent(text)
    assert edit.replaced == ()
    assert [line.split(":")[0] for line in edit.by_hand] == [f"`ci.yml`, line {number}" for number in (4, 6, 7)]


def test_line_ends_and_a_missing_last_one_stay() -> None:
    text = "jobs:\r\n  build:\r\n    steps:\r\n      - uses: cachix/install-nix-action@v31"
    assert edited(text).text == f"jobs:\r\n  build:\r\n    steps:\r\n      - uses: {OURS}"


def test_variables_of_the_step_stay_beside_ours() -> None:
    edit = edited(
        """\
        jobs:
          build:
            steps:
              - uses: cachix/install-nix-action@v31
                env:
                    # for Nix
                    NIX_CONFIG: cores = 1
                continue-on-error: true
        """,
        KEYS,
    )
    (step,) = steps(edit)
    assert step["env"] == {
        "NIX_CONFIG": "cores = 1",
        "AWS_ACCESS_KEY_ID": "${{ secrets.AWS_ACCESS_KEY_ID }}",
        "AWS_SECRET_ACCESS_KEY": "${{ secrets.AWS_SECRET_ACCESS_KEY }}",
    }
    assert step["continue-on-error"] is True
    assert step["with"] == {
        "cache": "${{ vars.NIX_CACHE }}",
        "public-keys": "${{ vars.NIX_CACHE_PUBLIC_KEYS }}",
        "signing-key": "${{ secrets.NIX_SIGNING_KEY }}",
    }


def test_a_role_needs_a_token_which_jobs_get_where_their_permissions_are_written() -> None:
    edit = edited(
        """\
        permissions:
            contents: read # for checkout

        jobs:
          build:
            steps:
              - uses: cachix/install-nix-action@v31
          own:
            permissions:
              contents: write
            steps:
              - uses: cachix/install-nix-action@v31
          has:
            steps:
              - uses: cachix/install-nix-action@v31
            permissions: {id-token: write}
          untouched:
            permissions:
              packages: write
            steps:
              - run: make
        """,
        ROLE,
    )
    found = yaml.safe_load(edit.text)
    assert found["permissions"] == {"contents": "read", "id-token": "write"}
    assert found["jobs"]["own"]["permissions"] == {"contents": "write", "id-token": "write"}
    assert found["jobs"]["untouched"]["permissions"] == {"packages": "write"}
    assert len(edit.by_hand) == 1  # flow style
    assert steps(edit)[0]["with"] == {
        "cache": "${{ vars.NIX_CACHE }}",
        "public-keys": "${{ vars.NIX_CACHE_PUBLIC_KEYS }}",
        "signing-key": "aws-ssm:/nix-cache/acme-p",
        "push": "${{ (github.ref == 'refs/heads/main') && 'auto' || 'never' }}",
        "aws-role": "${{ (github.ref == 'refs/heads/main') && vars.NIX_CACHE_ROLE || '' }}",
    }


def test_without_permissions_a_person_must_add_them() -> None:
    """To write some would take away what the job has by default."""
    text = "jobs:\n  build:\n    steps:\n      - uses: cachix/install-nix-action@v31\n"
    edit = edited(text, ROLE)
    assert edit.by_hand == ("`ci.yml`: give the job of line 3 the permission `id-token: write`, or it gets no role",)
    assert "permissions" not in edit.text


def test_a_second_time_nothing_is_left_to_replace() -> None:
    text = "jobs:\n  build:\n    steps:\n      - uses: cachix/install-nix-action@v31\n"
    once = edited(text, KEYS)
    assert edited(once.text, KEYS) == Edit(once.text, (), ())


def test_what_runs_where_the_first_does_not_stays() -> None:
    """Each system has an installer of its own: without the second, jobs on macOS would have no Nix."""
    edit = edited("""\
        jobs:
          build:
            steps:
              - if: runner.os == 'Linux'
                uses: DeterminateSystems/nix-installer-action@v1
              - if: runner.os == 'macOS'
                uses: cachix/install-nix-action@v31
              - uses: DeterminateSystems/magic-nix-cache-action@v8
        """)
    first, second = steps(edit)
    assert first == {"if": "runner.os == 'Linux'", "uses": OURS}
    assert second == {"if": "runner.os == 'macOS'", "uses": "cachix/install-nix-action@v31"}
    assert len(edit.by_hand) == 1
    assert "line 7" in edit.by_hand[0]


def test_conditions_of_more_than_one_line_are_compared_whole() -> None:
    edit = edited("""\
        jobs:
          build:
            steps:
              - if: |
                  runner.os == 'Linux'
                uses: cachix/install-nix-action@v31
              - uses: cachix/install-nix-action@v31
                if: |
                  runner.os == 'macOS'
        """)
    assert [step["uses"] for step in steps(edit)] == [OURS, "cachix/install-nix-action@v31"]


@pytest.mark.parametrize(
    "step",
    [
        "- &nix\n        uses: cachix/install-nix-action@v31",
        "- uses: cachix/install-nix-action@v31\n        with: &nix\n          name: x",
        "- uses: cachix/install-nix-action@v31\n        with:\n          extra_nix_config: *nix",
        "- uses: cachix/install-nix-action@v31\n        with:\n          <<: *nix",
        "- uses: cachix/install-nix-action@v31\n        id: nix\n      - run: echo ${{ steps.nix.outputs.x }}",
    ],
)
def test_what_others_refer_to_is_left_to_a_person(step: str) -> None:
    text = f"x-nix: 1\njobs:\n  build:\n    steps:\n      {step}\n"
    edit = edited(text)
    assert edit.text == text
    assert len(edit.by_hand) == 1


def test_a_variable_that_the_step_has_is_not_there_twice() -> None:
    edit = edited(
        """\
        jobs:
          build:
            steps:
              - uses: cachix/install-nix-action@v31
                env:
                  AWS_ACCESS_KEY_ID: >-
                    of old
                  OTHER: kept
        """,
        KEYS,
    )
    assert edit.text.count("AWS_ACCESS_KEY_ID:") == 1
    assert steps(edit)[0]["env"] == {
        "AWS_ACCESS_KEY_ID": "${{ secrets.AWS_ACCESS_KEY_ID }}",
        "AWS_SECRET_ACCESS_KEY": "${{ secrets.AWS_SECRET_ACCESS_KEY }}",
        "OTHER": "kept",
    }


def test_a_value_in_quotes_is_read_as_yaml_reads_it() -> None:
    edit = edited("""\
        jobs:
          build:
            steps:
              - uses: cachix/install-nix-action@v31
                with:
                  extra_nix_config: "cores = 2\\nmax-jobs = 4" # both
                  nix_path: 'it''s=here'
              - uses: nixbuild/nix-quick-install-action@v30
                with:
                  nix_conf: of more
                    than one line
        """)
    assert steps(edit)[0]["with"] == {"extra-nix-conf": "cores = 2\nmax-jobs = 4\nnix-path = it's=here\n"}
    assert edit.replaced[1].endswith("without its `nix_conf`")


def test_a_part_of_an_action_is_named() -> None:
    edit = edited("jobs:\n  build:\n    steps:\n      - uses: nix-community/cache-nix-action/restore@v6\n")
    assert len(edit.by_hand) == 1


def test_letters_that_end_lines_elsewhere_stay() -> None:
    text = "# a\u2028b\x0c\x85c\njobs:\n  build:\n    steps:\n      - uses: cachix/install-nix-action@v31"
    assert edited(text).text == text.replace("cachix/install-nix-action@v31", OURS)


def test_a_permission_that_is_denied_is_left_to_a_person() -> None:
    edit = edited(
        """\
        permissions:
          id-token: none
        jobs:
          build:
            steps:
              - uses: cachix/install-nix-action@v31
        """,
        ROLE,
    )
    assert len(edit.by_hand) == 1
