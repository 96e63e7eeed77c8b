"""The daemon's systemd unit."""

from nix_autocache.nix.daemon.systemd import environment_text


def test_a_variable_of_any_content_stays_one_line_of_a_units_environment() -> None:
    assert environment_text({"HTTPS_PROXY": 'http://a:"b\\@c\nX=1'}) == 'HTTPS_PROXY="http://a:\\"b\\\\@cX=1"\n'
