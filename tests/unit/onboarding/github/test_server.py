import pytest

from nix_autocache.onboarding.github import server


@pytest.mark.parametrize(
    ("address", "api", "issuer"),
    [
        ("https://github.com", "https://api.github.com", "token.actions.githubusercontent.com"),
        ("https://acme.ghe.com", "https://api.acme.ghe.com", "token.actions.acme.ghe.com"),
        ("https://git.example.org", "https://git.example.org/api/v3", "git.example.org/_services/token"),
    ],
)
def test_each_product_has_its_addresses(address: str, api: str, issuer: str) -> None:
    assert server.api_url(address) == api
    assert server.issuer(address) == issuer
