"""Where the bearer token may be sent.

An operator enters the base URL, and a wrong one would send the token to a stranger, or lead a worker's requests into
its own network. The text of the URL is checked when a client is created. The address that the name resolves to is
checked again on the connected socket, before a byte is sent, so that no name can be rebound in between.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from airflow_provider_twitter.client.errors import AddressRefused

DEFAULT_BASE_URL = "https://api.x.com"

METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data"})
METADATA_ADDRESSES = frozenset(map(ip_address, ("100.100.100.200", "fd00:ec2::254", "168.63.129.16")))


def allowed_base_url(base_url: str, *, allow_local: bool) -> str:
    """The base URL without a trailing slash. Raises AddressRefused if the token may not be sent there.

    https to a public host is allowed; `allow_local` also allows plain http, loopback and private addresses.
    Credentials in the URL, other schemes, queries and cloud metadata addresses are always refused.
    """
    try:
        parts = urlsplit(base_url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise AddressRefused(
            "the base URL of the X API is not a valid URL: write it as https://host[:port]"
        ) from None
    if parts.username is not None or parts.password is not None:
        raise AddressRefused(
            "the base URL of the X API contains a user name or password: put the token into the connection"
        )
    if parts.scheme not in ("https", "http") or not host:
        raise AddressRefused(
            f"the base URL of the X API has the scheme {parts.scheme or 'none'!r}: write https://host[:port]"
        )
    if parts.query or parts.fragment:
        raise AddressRefused("the base URL of the X API has a query or fragment: write https://host[:port]")
    if parts.scheme == "http" and not allow_local:
        raise AddressRefused(
            f"http://{host} would send the token unencrypted: use https, or set allow_local for your "
            "own simulator"
        )
    if host in METADATA_NAMES:
        raise AddressRefused(f"{host} is a cloud metadata service, never the X API")
    if host == "localhost" or host.endswith(".localhost"):
        require_allowed_address("127.0.0.1", allow_local=allow_local)
    elif _is_address(host):
        require_allowed_address(host, allow_local=allow_local)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def require_allowed_address(address: str, *, allow_local: bool) -> None:
    """Raise AddressRefused unless the token may be sent to this IP address."""
    ip: IPv4Address | IPv6Address = ip_address(address.split("%", 1)[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip in METADATA_ADDRESSES or ip.is_link_local or ip.is_multicast:
        raise AddressRefused(f"{ip} is a metadata, link-local or multicast address, never the X API")
    if not ip.is_global and not allow_local:
        raise AddressRefused(f"{ip} is a loopback or private address: set allow_local for your own simulator")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
