"""A Lightning module that is saved in a folder, shared on the Hugging Face Hub, and loaded from either."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, Unpack, cast

import torch
from huggingface_hub import HfApi, ModelCard, ModelHubMixin
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # that of httpx, or of its successor
from lightning.pytorch.utilities import rank_zero_warn

from seqkit.class_paths import allow
from seqkit.files import atomic_files
from seqkit.options import near
from seqkit.tasks.checkpoints.loading import check_device, named_model
from seqkit.tasks.checkpoints.rebuild import RebuildableModule
from seqkit.tasks.sharing.card import CardOptions, model_card
from seqkit.tasks.sharing.files import (
    CONFIG,
    WEIGHTS,
    ModelFiles,
    model_config,
    naming_version,
    read_config,
    read_weights,
    write_config,
    write_weights,
)
from seqkit.upstream.lightning import load_model

_CARD = "README.md"


class SharedModule(RebuildableModule, ModelHubMixin):
    """Adds ``save_pretrained``, ``push_to_hub`` and ``from_pretrained``."""

    def __init_subclass__(cls, **options: Any) -> None:
        # ModelHubMixin writes default and given arguments as JSON, which fails for some classes among them. The
        # arguments are in the hyper-parameters, as plain types.
        super(ModelHubMixin, cls).__init_subclass__(**options)

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Create the object as any other; see ``__init_subclass__``."""
        return object.__new__(cls)

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | Path, *, repo_id: str | None = None, **card: Unpack[CardOptions]
    ) -> None:
        """Write the model into a folder: weights, config and model card.

        ``model.safetensors`` holds the weights, ``config.json`` the class, its arguments and the data's spec as
        plain types, and ``README.md`` describes the model and its use. The files are complete or not there. A
        ``README.md`` that exists is kept.

        Args:
            save_directory: The folder; it may exist.
            repo_id: The id on the Hub that the card names; by default the folder's name.
            card: ``metrics`` (test scores by name; by default those of the trainer that has just tested the model),
                ``data``, ``license`` and ``language``, for the card; see
                :func:`~seqkit.tasks.sharing.card.model_card`.

        Raises:
            OSError: The files cannot be written.
            TypeError: The card has no such option.
            ValueError: An argument of the model cannot be kept as JSON.
        """
        known = CardOptions.__annotations__
        for name in card.keys() - known.keys():
            raise TypeError(f"the card has no option {name!r}{near(name, known)}; it has {', '.join(known)}")
        folder = Path(save_directory)
        options = {"name": repo_id or folder.resolve().name, **card}
        with atomic_files(folder) as temporary:
            super().save_pretrained(temporary, model_card_kwargs=options)
            if (folder / _CARD).exists():
                (temporary / _CARD).unlink()
                rank_zero_warn(f"{folder / _CARD} exists and is kept; remove it for a card of this model")

    def push_to_hub(  # type: ignore[override]
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        branch: str | None = None,
        create_pr: bool = False,
        commit_message: str = "Add a model of seqkit",
        ignore_patterns: list[str] | str | None = None,
        **card: Unpack[CardOptions],
    ) -> str:
        """Save the model and upload it to the Hugging Face Hub, all files in one commit.

        The repository is created if it does not exist, after the model is saved.

        Args:
            repo_id: The id, such as ``me/my-tagger``.
            private: Whether a new repository is private; by default as the account's settings say.
            token: An access token; by default the one of ``hf auth login``.
            branch: The branch; by default ``main``.
            create_pr: Whether to open a pull request with the commit.
            commit_message: The message of the commit.
            ignore_patterns: Files that are not uploaded: ``README.md`` keeps the Hub's card.
            card: ``metrics``, ``data``, ``license`` and ``language``; see :meth:`save_pretrained`.

        Returns:
            The URL of the commit.

        Raises:
            OSError: The Hub cannot be reached, or refuses.
            ValueError: ``repo_id`` is no id; see also :meth:`save_pretrained`.
        """
        api = HfApi(token=token, library_name="seqkit")
        with tempfile.TemporaryDirectory() as temporary:
            self.save_pretrained(temporary, repo_id=repo_id, **card)
            try:
                repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
                commit = api.upload_folder(
                    repo_id=repo_id,
                    folder_path=temporary,
                    commit_message=commit_message,
                    revision=branch,
                    create_pr=create_pr,
                    ignore_patterns=ignore_patterns,
                )
            except OSError:  # the answers of the Hub, which say what to do
                raise
            except HTTPError as error:
                raise OSError(f"cannot reach the Hub to push {repo_id}: {error}") from error
            except ValueError as error:  # such as no id, or an unknown license in the card
                raise ValueError(f"the Hub cannot take the model as {repo_id}: {error}") from error
        return str(commit.commit_url)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        map_location: str | torch.device = "cpu",
        trust: str | Sequence[str] = (),
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        **arguments: Any,
    ) -> Self:
        """Load a model that :meth:`save_pretrained` or :meth:`push_to_hub` has written.

        A config names classes. Those of seqkit, ``torch.nn``, ``torch.optim`` and torchmetrics are used, and those
        that this program has given to a task or a data module; classes of other modules could do anything, so they
        need consent. All names are checked before anything is called or the weights are downloaded.

        Args:
            pretrained_model_name_or_path: A folder, or the model's id on the Hugging Face Hub.
            map_location: The device of the weights.
            trust: Names of modules whose classes may be used, such as ``my_project``.
            revision: For the Hub: a branch, a tag or a commit; by default the branch ``main``.
            cache_dir: For the Hub: where the files are kept.
            force_download: For the Hub: whether to download files that are already there.
            local_files_only: For the Hub: whether to use only files that are already there, without the network.
            token: For the Hub: an access token; by default the one of ``hf auth login``.
            arguments: Arguments of the constructor that replace those of the config.

        Returns:
            The model, in evaluation mode; ``train()`` before more training.

        Raises:
            OSError: A file is missing, or the Hub cannot be reached.
            TypeError: The config's spec is no dict of dicts.
            ValueError: The config or the weights are damaged, or do not fit each other; or the config names a class
                that may not be used there.
        """
        allow(cls)
        check_device(map_location)
        files = ModelFiles(
            pretrained_model_name_or_path,
            {
                "revision": revision,
                "cache_dir": cache_dir,
                "force_download": force_download,
                "local_files_only": local_files_only,
                "token": token,
            },
        )
        config = read_config(files.find(CONFIG))
        with naming_version(config):
            spec = config["spec"]
            found = named_model(config["class_path"], spec, RebuildableModule, trust, place="the config's model")
            built = cls.rebuilt_arguments(found, spec, config["init_args"], arguments, trust, kind="folder")
            path = files.find(WEIGHTS)
            state = read_weights(path, map_location)
            try:
                model = load_model(found, {"state_dict": state}, built, strict=True)
            except (RuntimeError, TypeError) as error:
                if "state_dict" in f"{error}":
                    raise ValueError(f"{path} does not fit its config.json: {error}") from error
                # Such as an argument that the class does not have, or a size that the memory does not have.
                raise ValueError(f"cannot build the model of {path.with_name(CONFIG)}: {error}") from error
        dtypes = {values.dtype for values in state.values() if values.is_floating_point()}
        if len(dtypes) == 1 and dtypes != {model.dtype}:
            model.to(*dtypes).load_state_dict(state)  # of float64 or bfloat16, unrounded
        return cast(Self, model.eval())

    def generate_model_card(self, name: str, **options: Unpack[CardOptions]) -> ModelCard:
        """Write the model card; see :func:`~seqkit.tasks.sharing.card.model_card`.

        Args:
            name: The folder or the id that users load.
            options: ``metrics``, ``data``, ``license`` and ``language``.
        """
        if options.get("metrics") is None:
            options["metrics"] = self._tested()
        return model_card(self, name, model_config(self), **options)

    def _save_pretrained(self, save_directory: Path) -> None:
        write_config(model_config(self), save_directory / CONFIG)
        write_weights(self, save_directory / WEIGHTS)

    def _tested(self) -> dict[str, Any]:
        """Return the scores of the test that the model's trainer has just run, if it has."""
        try:
            scores = self.trainer.callback_metrics
        except RuntimeError:  # no trainer
            return {}
        return {name: value for name, value in scores.items() if name.startswith("test_")}
