"""The `hnvlab` command: one thin file for each verb. stdout is data, stderr is everything else."""
