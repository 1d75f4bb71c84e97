"""Messages of other libraries that say nothing to a user of the command line."""

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import datasets

_LOGGER = "lightning.pytorch.utilities.rank_zero"
_INFOS = re.compile(
    r"💡 Tip: For seamless cloud "  # an advertisement
    r"|GPU available: False, used: False$"
    r"|TPU available: False, using: 0 TPU cores$"
    r"|Loading `train_dataloader` to estimate number of stepping batches\.$"
    r"|`Trainer\.fit` stopped: `max_(epochs|steps)=\d+` reached\.$"  # as configured
    r"|Restoring states from the checkpoint path at "  # a second message follows once they are loaded
)
_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    # Lightning's use of torch, on which a user has no influence.
    (r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning),
    # Rows are gathered from Arrow, faster than workers could send them.
    (r"The '\w+' does not have many workers which may be a bottleneck", UserWarning),
    # The interval counts the steps of all epochs.
    (r"The number of training batches \(\d+\) is smaller than the logging interval", UserWarning),
)
# Only a fit uses the states of callbacks.
_WARNINGS_OF_EVALUATION = ((r"Be aware that when using `ckpt_path`, callbacks used to create ", UserWarning),)


@contextmanager
def without_noise(*, resumes: bool = True) -> Iterator[None]:
    """Hide these messages while the block runs, and the progress bars of `datasets` where no terminal shows them.

    The command line runs in such a block. A script may do so, too.

    Args:
        resumes: Whether a fit in the block may resume from a checkpoint. If not, a warning that callbacks of the
            checkpoint are missing is hidden, too.
    """
    logger = logging.getLogger(_LOGGER)
    hides_bars = not (
        sys.stderr.isatty()
        or datasets.are_progress_bars_disabled()
        or "HF_DATASETS_DISABLE_PROGRESS_BARS" in os.environ
    )
    with warnings.catch_warnings():
        for message, category in _WARNINGS + (() if resumes else _WARNINGS_OF_EVALUATION):
            warnings.filterwarnings("ignore", message, category)
        logger.addFilter(_carries_information)
        if hides_bars:
            datasets.disable_progress_bars()
        try:
            yield
        finally:
            logger.removeFilter(_carries_information)
            if hides_bars:
                datasets.enable_progress_bars()


def _carries_information(record: logging.LogRecord) -> bool:
    return not _INFOS.match(record.getMessage())
