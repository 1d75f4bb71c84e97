"""Search for hyper-parameters with Optuna: each trial fits a config with other values of some of its keys.

    pip install -c constraints.txt -e '.[search]'
    python examples/search_with_optuna.py tagger.yaml --trials 20
    python examples/search_with_optuna.py tagger.yaml --trials 20 --storage sqlite:///search.db    # and go on later

Further options are those of ``python -m seqkit fit``, such as ``--trainer.max_epochs 5``. A trial that is worse
than the median of those before it is pruned: its fit ends early.
"""

import argparse
from collections.abc import Sequence

import optuna
from lightning.pytorch import Callback, LightningModule, Trainer

from seqkit.cli import main as seqkit


def suggest(trial: optuna.Trial) -> None:
    """Choose the values of a trial. The names are keys of the config, as options of the command line."""
    trial.suggest_int("model.encoder.hidden_size", 8, 64, log=True)
    trial.suggest_float("model.optimizer.lr", 1e-3, 1e-1, log=True)
    trial.suggest_float("model.dropout", 0.0, 0.5)


class Reporting(Callback):
    """Report the task's own metric to a trial after each validation, and end the fit if the trial is to be pruned.

    Args:
        trial: The trial.

    Attributes:
        best: The best value so far, negative if the metric is best when it is low.
        pruned: Whether the trial is to be pruned.
    """

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial
        self.best = -float("inf")
        self.pruned = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the metric."""
        if trainer.sanity_checking:
            return
        name, mode = pl_module.monitor
        value = float(trainer.callback_metrics[name]) * (1 if mode == "max" else -1)
        self.best = max(self.best, value)
        self.trial.report(value, trainer.global_step)
        self.pruned = self.trial.should_prune()
        trainer.should_stop = trainer.should_stop or self.pruned


def options_of(values: dict[str, float]) -> list[str]:
    """Return the options of the command line for the values of a trial."""
    return [f"--{key}={value}" for key, value in values.items()]


def main(arguments: Sequence[str] | None = None) -> optuna.Study:
    """Run the example with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a YAML file of python -m seqkit fit")
    parser.add_argument("--trials", type=int, default=20, help="number of trials (default 20)")
    parser.add_argument("--storage", help="a database that keeps the trials, such as sqlite:///search.db")
    parser.add_argument("--seed", type=int, default=0, help="seed of the search (default 0)")
    given, options = parser.parse_known_args(arguments)

    def objective(trial: optuna.Trial) -> float:
        suggest(trial)
        reporting = Reporting(trial)
        cli = seqkit(["fit", "--config", given.config, *options, *options_of(trial.params)], callbacks=[reporting])
        if reporting.pruned:
            raise optuna.TrialPruned
        trial.set_user_attr("checkpoint", cli.trainer.checkpoint_callback.best_model_path)
        return reporting.best

    study = optuna.create_study(
        study_name=given.config,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=given.seed),
        pruner=optuna.pruners.MedianPruner(),
        storage=given.storage,
        load_if_exists=True,
    )
    study.optimize(objective, n_trials=given.trials)
    best = study.best_trial
    print(f"best of {len(study.trials)} trials: {best.value:.4f}, {best.user_attrs['checkpoint']}")
    print(f"python -m seqkit fit --config {given.config} {' '.join([*options, *options_of(best.params)])}")
    return study


if __name__ == "__main__":
    main()
