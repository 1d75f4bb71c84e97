"""What tests of resuming share: fits that record their batches, and that are cut at given ones."""

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback

from seqkit import SequenceDataModule

EPOCHS = 3


class Recorder(LightningModule):
    """Record the rows of each batch; the one weight is what Lightning trains."""

    def __init__(self, counts_steps=False):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.counts_steps = counts_steps
        self.seen = []
        self.validated = []  # numbers of training batches before each validation

    def training_step(self, batch, batch_idx):
        rows = batch.rows if hasattr(batch, "rows") else batch
        self.seen.append((self.current_epoch, batch_idx, rows.tolist()))
        return self.weight

    def validation_step(self, batch, batch_idx):
        if batch_idx == 0:
            self.validated.append(len(self.seen))

    def configure_optimizers(self):
        if self.counts_steps:  # sets up the training loader before the loops' state is restored
            assert self.trainer.estimated_stepping_batches > 0
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveAt(Callback):
    """Save a checkpoint after given numbers of batches, and stop if asked to."""

    def __init__(self, cuts, folder, stop=False):
        self.cuts, self.folder, self.stop = cuts, folder, stop
        self.states = {}

    def on_train_batch_end(self, trainer, module, *_):
        if len(module.seen) in self.cuts:
            trainer.save_checkpoint(path(self.folder, len(module.seen)))
            if trainer.datamodule is not None:
                self.states[len(module.seen)] = trainer.datamodule.state_dict()
            trainer.should_stop = self.stop


def path(folder, cut):
    return folder / f"{cut}.ckpt"


def make(splits, **options):
    return SequenceDataModule(splits, **({"inputs": "words", "targets": "tags", "max_tokens": 32} | options))


def fit(trainer, data, *, cuts=(), folder=None, resume=None, counts_steps=False, **options):
    model, saving = Recorder(counts_steps), SaveAt(cuts, folder)
    run = trainer(**({"max_epochs": EPOCHS, "limit_val_batches": 0, "callbacks": [saving]} | options))
    run.fit(model, data, ckpt_path=resume, weights_only=True if resume else None)
    return model.seen, saving.states
