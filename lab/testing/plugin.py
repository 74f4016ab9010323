"""The pytest plugin: fixtures that bring a lab up and take it down."""
