"""What is known of a zoo's rows beside their weights, for the upper rail."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rnnzoo.errors import UsageError
from rnnzoo.rows.zoo_rows import ZooRows


def label_features(zoo: ZooRows) -> Tensor:
    """What there is to know of each row as numbers: task, training step and accuracy, float32 [rows, labels_size].

    Steps count on a logarithmic scale; what cannot be known is 0.

    Raises:
        UsageError: joined rows of several zoos.
    """
    # Training itself needs no files, and so none of what reads them.
    from rnnzoo.zoo.zoo import Zoo

    if not isinstance(zoo, Zoo):
        raise UsageError("The range of tasks is that of one zoo's recipe, so joined zoos are embedded one by one here.")
    step = np.log1p(zoo["step"]) / np.log1p(20_000)
    known = np.column_stack([zoo.kind.task_features(zoo), step, np.nan_to_num(zoo.kind.headline(zoo))])
    return torch.from_numpy(known.astype(np.float32))
