"""The files of a shared model: weights as safetensors, and a config of plain types. Nothing in them is a pickle."""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

import seqkit
from seqkit.class_paths import public_path
from seqkit.tasks.checkpoints.rebuild import RebuildableModule
from seqkit.upstream.lightning import saved_arguments

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
_KEYS = {"class_path": str, "init_args": dict, "spec": dict}


class DownloadOptions(TypedDict, total=False):
    """How a file of the Hub is found; see :func:`huggingface_hub.hf_hub_download`."""

    revision: str | None
    cache_dir: str | Path | None
    force_download: bool
    local_files_only: bool
    token: str | bool | None


class ModelFiles:
    """The files of a model in a folder or on the Hub.

    Args:
        name: The folder, or the id of the model.
        options: How the Hub is asked; not used for a folder.
    """

    def __init__(self, name: str | Path, options: DownloadOptions) -> None:
        self.name = name
        self._options = options.copy()

    def find(self, filename: str) -> Path:
        """Return the path of a file, in the Hub's cache after it is downloaded.

        All files are of one commit, also if the branch moves between the downloads.

        Raises:
            OSError: The file does not exist, or the Hub cannot be reached.
            ValueError: The name is neither a folder nor an id of the Hub.
        """
        if os.path.isdir(self.name):
            path = Path(self.name) / filename
            if not path.is_file():
                raise FileNotFoundError(errno.ENOENT, f"a model of seqkit needs {filename}", str(path))
            return path
        if os.path.exists(self.name):
            raise ValueError(
                f"{self.name} is a file; name a folder of save_pretrained, or read a checkpoint by "
                f"load_from_checkpoint"
            )
        try:
            found = Path(hf_hub_download(str(self.name), filename, library_name="seqkit", **self._options))
        except HFValidationError as error:
            raise ValueError(
                f"there is no folder {str(self.name)!r}, and it is no id of the Hub, such as me/my-tagger"
            ) from error
        except LocalEntryNotFoundError:  # offline; its message says what to do
            raise
        except EntryNotFoundError as error:
            raise FileNotFoundError(
                errno.ENOENT, f"the Hub has it without {filename}, which a model of seqkit needs", str(self.name)
            ) from error
        self._options["revision"] = found.parent.name  # the commit
        return found


def model_config(model: RebuildableModule) -> dict[str, Any]:
    """Return the class, the spec and the other arguments of a model as plain types, as its checkpoints do."""
    saved = saved_arguments(model.hparams)
    arguments = dict(saved[1]) if saved else {}
    return {
        "seqkit_version": seqkit.__version__,
        "class_path": public_path(type(model)),
        "spec": arguments.pop("spec"),
        "init_args": arguments,
    }


def write_config(config: Mapping[str, Any], path: Path) -> None:
    """Write the config of a model as JSON.

    Raises:
        ValueError: An argument cannot be kept as JSON.
    """
    try:
        text = json.dumps(config, indent=1)  # unsorted: the first input is the main one
    except TypeError as error:
        raise ValueError(f"the arguments of {config['class_path']} cannot be kept as JSON: {error}") from error
    if json.loads(text) != config:
        raise ValueError(
            f"the arguments of {config['class_path']} cannot be kept as JSON: a dict has a key that is no text, or "
            f"a number is NaN"
        )
    path.write_text(text + "\n", encoding="utf-8")


def read_config(path: Path) -> dict[str, Any]:
    """Read what :func:`write_config` has written. What it names is not checked.

    Raises:
        ValueError: It is no such file.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON
        raise ValueError(f"{path} is damaged: {error}; save or download it again") from error
    for key, kind in _KEYS.items():
        found = config.get(key) if isinstance(config, dict) else None
        if not isinstance(found, kind):
            raise ValueError(
                f"{path} is no config of a model of seqkit: {key} is {found!r:.80}, not a {kind.__name__}; "
                f"save_pretrained writes such a config"
            )
    return dict(config)


def write_weights(model: nn.Module, path: Path) -> None:
    """Write the weights; one with several names, as of tied layers, once, and its other names in the metadata.

    Raises:
        OSError: The file cannot be written.
        TypeError: The state holds more than tensors.
    """
    names: dict[int, str] = {}
    tensors: dict[str, Tensor] = {}
    metadata = {"format": "pt"}
    for name, value in model.state_dict(keep_vars=True).items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} in the state of {type(model).__name__} is a {type(value).__name__}, no tensor")
        first = names.setdefault(id(value), name)
        if first == name:
            # A copy, because weights may be views of one memory.
            tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        else:
            metadata[name] = first
    path.write_bytes(save(tensors, metadata))  # save_file would let only this user read it


def read_weights(path: Path, device: str | torch.device) -> dict[str, Tensor]:
    """Read the weights of :func:`write_weights`, each under all of its names.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}; save or download it again") from error
    return tensors | {name: tensors[first] for name, first in metadata.items() if first in tensors}


def load_weights(model: nn.Module, folder: Path) -> None:
    """Load the weights of a folder into a model that was built by its config.

    Raises:
        OSError: The file is missing.
        ValueError: It is damaged, or does not fit the model.
    """
    path = ModelFiles(folder, {}).find(WEIGHTS)
    try:
        model.load_state_dict(read_weights(path, "cpu"))
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit its {CONFIG}: {error}") from error


@contextmanager
def naming_version(config: Mapping[str, Any]) -> Iterator[None]:
    """Add the version that wrote a config to the errors in the block, if it is another one.

    Raises:
        ValueError: The same error with a longer message.
    """
    try:
        yield
    except ValueError as error:
        version = config.get("seqkit_version")
        if version == seqkit.__version__:
            raise
        raise ValueError(
            f"{error}. The model was saved by seqkit {version!s:.20}, and this is seqkit {seqkit.__version__}"
        ) from error
