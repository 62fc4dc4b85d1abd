"""What `make demo` shows of a zoo through `datasets` alone, as users without rnnzoo would load it."""

from __future__ import annotations

import sys

from datasets import load_dataset
from datasets.utils import disable_progress_bars


def main(folder: str) -> None:
    """Load a zoo and print a few of its rows."""
    disable_progress_bars()
    zoo = load_dataset(folder)
    print(f"load_dataset({folder!r}):")
    for split, rows in zoo.items():
        print(f"  {split:<10} {rows.num_rows:>4} rows x {len(rows.column_names)} columns")
    accuracy = "accuracy" if "accuracy" in zoo["train"].column_names else "eval_accuracy"
    print("a few rows of train:")
    for row in zoo["train"].select(range(5)):
        weights = ", ".join(f"{value:+.3f}" for value in row["weights"][:3])
        print(
            f"  model {row['model_id']:>2}  step {row['step']:>5}  task {row['task']!s:<18} "
            f"{accuracy} {row[accuracy]:.3f}  train_loss {row['train_loss']:.3f}  weights [{weights}, ...]"
        )


if __name__ == "__main__":
    main(sys.argv[1])
