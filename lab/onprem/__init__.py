"""A customer's own site: its VPN router (strongSwan) and its BGP router (ExaBGP), supervised services."""
