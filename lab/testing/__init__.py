"""What end-to-end suites use: the `lab` fixture (`plugin`), the running lab, waiting by condition."""

from lab.testing.eventually import eventually
from lab.testing.running import Result, RunningLab, dissect, hnvlab

__all__ = ["Result", "RunningLab", "dissect", "eventually", "hnvlab"]
