"""Carries out a plan: Docker Engine, images, files, certificates, netlink wiring.

Emits events, prints nothing."""
