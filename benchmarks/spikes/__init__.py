"""Measurements that a decision rests on; not benchmarks of what was built."""
