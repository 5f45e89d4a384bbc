"""The parts of benchmarks/gpu.py; each yields its figures one by one."""
