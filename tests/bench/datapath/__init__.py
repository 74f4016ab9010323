"""The data path beside bare cables and the kernel's own VXLAN: `python -m tests.bench.datapath`."""
