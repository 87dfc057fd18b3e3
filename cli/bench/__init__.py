"""What `hive bench` measures: each figure beside its calibration, in one run."""
