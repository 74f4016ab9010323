"""What both ends of an IPsec connection share: strongSwan's configuration, its VICI interface, and ESP's back end."""
