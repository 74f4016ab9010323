"""What both ends of an IPsec connection share: strongSwan's configuration and VICI, and who does ESP."""
