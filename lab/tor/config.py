"""What the top-of-rack router's BIRD is told. Pure."""

from __future__ import annotations

from lab.model.router import RouterConfig

KEEPALIVES_PER_HOLD_TIME = 3


def bird_config(config: RouterConfig) -> str:
    """bird.conf: every gateway is a neighbour that may announce single addresses, and is told nothing.

    A gateway that announced a network, or an address that is not a gateway's to announce, would draw the
    traffic of others: only what the lab gives away as public is taken.
    """
    allowed = ",\n    ".join(f"{prefix}{{32,32}}" for prefix in config.announced)
    neighbours = "".join(
        f"""
protocol bgp {_protocol_name(name)} from announcer {{
  neighbor {address} as {config.gateway_asn};
}}
"""
        for name, address in config.gateways.items()
    )
    return f"""\
log stderr all;
router id {config.address};
timeformat protocol iso long;

define PUBLIC = [
    {allowed}
];

protocol device {{
}}

protocol kernel {{
  persist;
  ipv4 {{
    import none;
    export where source = RTS_BGP;
  }};
}}

template bgp announcer {{
  local {config.address} as {config.asn};
  direct;
  hold time {config.hold_time_s};
  keepalive time {max(1, config.hold_time_s // KEEPALIVES_PER_HOLD_TIME)};
  connect delay time 1;
  connect retry time 1;
  error wait time 1, 4;
  ipv4 {{
    import filter {{
      if net ~ PUBLIC then accept;
      reject "not a gateway's to announce: ", net;
    }};
    export none;
  }};
}}
{neighbours}"""


def _protocol_name(gateway: str) -> str:
    """BIRD's names have no hyphens; a DNS label has no underscores, so no two gateways become one."""
    return "gateway_" + gateway.replace("-", "_")
