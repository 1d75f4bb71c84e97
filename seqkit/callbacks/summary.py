"""A table of the results after a fit."""

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from rich.console import Console
from rich.table import Table

from seqkit.callbacks.throughput import Throughput
from seqkit.upstream.lightning import find_callbacks


class Summary(Callback):
    """Print the last validation metrics, the training speed and the best checkpoint after a fit.

    Only the first rank prints.
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the table."""
        if not trainer.is_global_zero:
            return
        table = Table(title=f"{type(pl_module).__name__} after {trainer.current_epoch} epoch(s)", show_header=False)
        table.add_column(justify="left")
        table.add_column(justify="right")
        for name, value in trainer.logged_metrics.items():
            if name.startswith("val_"):
                table.add_row(name, f"{float(value):.4f}")
        table.add_section()
        table.add_row("parameters", f"{sum(p.numel() for p in pl_module.parameters()):,}")
        table.add_row("optimiser steps", f"{trainer.global_step:,}")
        for callback in find_callbacks(trainer, Callback):
            if isinstance(callback, Throughput) and callback.seconds:
                table.add_row("tokens trained on", f"{callback.tokens:,}")
                table.add_row("training time", f"{callback.seconds:.1f} s")
                table.add_row("tokens a second", f"{callback.tokens_per_second:,.0f}")
            if isinstance(callback, ModelCheckpoint) and callback.best_model_path:
                if callback.best_model_score is not None:
                    table.add_row(f"best {callback.monitor}", f"{float(callback.best_model_score):.4f}")
                table.add_row("checkpoint", callback.best_model_path)
        Console().print(table)
