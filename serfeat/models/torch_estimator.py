"""What `TorchClassifier` and `TorchRegressor` share: settings, training, application, storing."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from serfeat.errors import ModelError, did_you_mean
from serfeat.heads import HEADS, make_head
from serfeat.heads.multi_task import MultiTask
from serfeat.models.arguments import HoldsOut, check_settings
from serfeat.models.augmentation import Augmentation
from serfeat.models.batches import as_clips, logits
from serfeat.models.objectives import Objective
from serfeat.models.optimizers import OPTIMIZERS
from serfeat.models.surroundings import own_random_state, resolve_device, threads
from serfeat.models.training import Stage, train
from serfeat.models.values import check_values
from serfeat.precision import exact_float32
from serfeat.sequences import Sequences
from serfeat.types import Ints

__all__ = ["TorchEstimator"]


class TorchEstimator(HoldsOut, BaseEstimator):
    """A head, how it is trained, and where; the settings are those of `TorchClassifier`."""

    n_features_in_: int
    module_: nn.Module

    def __init__(
        self,
        head: str = "mlp",
        head_params: Mapping[str, Any] | None = None,
        *,
        epochs: int = 50,
        batch_size: int = 32,
        optimizer: str = "adamw",
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float | None = None,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        schedule: str | Sequence[Sequence[float]] | None = None,
        warmup: float = 0.0,
        stages: Sequence[Mapping[str, Any]] | None = None,
        selection: str = "last",
        patience: int | None = None,
        validation_fraction: float = 0.2,
        clip_norm: float | None = None,
        augment: Mapping[str, Any] | None = None,
        precision: str = "float32",
        device: str = "auto",
        threads: int | None = None,
        checkpoint: str | None = None,
        every: int = 10,
        verbose: bool | Callable[[int, int], None] = False,
        seed: int = 0,
    ) -> None:
        self.head = head
        self.head_params = head_params
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.betas = betas
        self.eps = eps
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.warmup = warmup
        self.stages = stages
        self.selection = selection
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.clip_norm = clip_norm
        self.augment = augment
        self.precision = precision
        self.device = device
        self.threads = threads
        self.checkpoint = checkpoint
        self.every = every
        self.verbose = verbose
        self.seed = seed

    # ------------------------------------------------------------------ training

    def check(self) -> None:
        """Refuse settings that no training can follow; `fit` begins with it.

        Raises
        ------
        ModelError, UnknownNameError : names what is wrong.
        """
        settings = self.get_params(deep=False)
        if Augmentation.of(self.augment).noise and (self.head_params or {}).get("n_samples"):
            raise ModelError(
                "augment: noise is for z-scored frames, and would fill the silence of a waveform",
                where=f"head {self.head}",
                code="bad-parameter",
                fix="give the entry, and not its params, augment = { noise = [dB, dB] }",
            )
        stages = self._stages()
        check_settings(settings)
        for stage in self.stages or ():
            check_values(type(self), stage)
            check_settings({**settings, **stage})
        for one in stages:
            if one.optimizer not in OPTIMIZERS:
                raise did_you_mean("optimizer", one.optimizer, OPTIMIZERS)
        most = getattr(HEADS.get(self.head), "n_stages", len(stages))
        if len(stages) > most:
            raise ModelError(
                f"{len(stages)} stages, expected {most} or fewer",
                where=f"head {self.head}",
                code="bad-parameter",
            )

    def check_columns(self, n_features: int, n_outputs: int) -> None:
        """Refuse so many columns if the network cannot read them: it is built once.

        Raises
        ------
        ModelError : of the head.
        """
        with own_random_state(torch.device("cpu"), 0):
            make_head(self.head, n_features, n_outputs, **(self.head_params or {}))

    def _fit_module(
        self,
        clips: Sequences,
        rows: Ints,
        sizes: Mapping[str, int],
        objective: Callable[[torch.device], Objective],
        *,
        score: Callable[[nn.Module], Mapping[str, float]] | None,
        identity: Any,
    ) -> None:
        """Build the module and train it on `rows` of `clips`.

        Parameters
        ----------
        sizes : outputs of every task, the main one first.
        objective : ``objective(device)``, its targets on that device.
        score : judges the module after every epoch; see `train`.
        identity : of the targets, for the checkpoint.
        """
        self.__dict__.pop("module_", None)  # of an earlier fit; a failed one must not look fitted
        device = resolve_device(self.device)
        file = None if self.checkpoint is None else Path(self.checkpoint)
        with (
            threads(self.threads),
            exact_float32(),
            own_random_state(device, self.seed),
            self._bar() as report,
        ):
            module = self._new_module(sizes).to(device)
            try:
                trained = train(
                    module,
                    clips,
                    rows,
                    objective(device),
                    self._stages(),
                    seed=self.seed,
                    score=score,
                    patience=self.patience,
                    clip_norm=self.clip_norm,
                    half=self.precision == "bfloat16",
                    augmentation=Augmentation.of(self.augment) if self.augment else None,
                    checkpoint=file,
                    identity="" if file is None else self._identity(clips, rows, identity),
                    every=self.every,
                    report=report,
                )
            except ModelError as error:
                error.where = f"head {self.head}"
                raise
        self._keep(module, trained.history, trained.best_epoch, sizes)

    def _judges(self) -> bool:
        return self.selection == "validation"

    def _keep(
        self,
        module: nn.Module,
        history: list[dict[str, Any]],
        epoch: int,
        sizes: Mapping[str, int],
    ) -> None:
        """Take over a trained module and what is known of its training."""
        self.history_ = history
        self.selected_epoch_ = epoch
        self.module_ = module.eval().cpu()
        self.n_parameters_ = _count(module)
        self.sizes_ = dict(sizes)

    def _stages(self) -> list[Stage]:
        """The stages, each with the estimator's settings where it has none of its own."""
        names = (
            *("epochs", "batch_size", "optimizer", "learning_rate", "betas", "eps"),
            *("momentum", "weight_decay", "schedule", "warmup"),
        )
        common = {name: getattr(self, name) for name in names}
        for stage in self.stages or ():
            if strangers := sorted(set(stage) - set(names)):
                raise ModelError(
                    f"stages: {strangers[0]!r} is no setting of a stage, expected some of "
                    f"{', '.join(names)}",
                    where=f"head {self.head}",
                    code="bad-parameter",
                )
        return [Stage(**{**common, **stage}) for stage in self.stages or ({},)]

    def _new_module(self, sizes: Mapping[str, int]) -> nn.Module:
        """Build the head, with several tasks as the trunk of `MultiTask`."""
        params = dict(self.head_params or {})
        if len(sizes) == 1:
            return make_head(self.head, self.n_features_in_, *sizes.values(), **params)
        trunk = make_head(self.head, self.n_features_in_, self._embedding, **params)
        return MultiTask(trunk, self._embedding, sizes, **self._multi_task())

    _embedding = 64

    def _multi_task(self) -> dict[str, Any]:
        return {}

    def _identity(self, clips: Sequences, rows: Ints, targets: Any) -> str:
        """SHA-256 of all that decides a training's result."""
        params = {k: v for k, v in self.get_params(deep=False).items() if k not in _NO_MATTER}
        code = _code(Path(__file__).resolve().parent.parent)
        text = json.dumps([type(self).__name__, params, torch.__version__, code], default=repr)
        digest = hashlib.sha256(text.encode())
        frames = (part.values for part in clips.blocks())
        for array in itertools.chain((clips.offsets, rows), frames, targets):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _oracle_identity(self, oracle: tuple[Any, Any] | None) -> list[Any]:
        """What the clips that choose the epoch add to the identity of a training."""
        if oracle is None:
            return []
        parts = (part.values for part in as_clips(self, oracle[0], training=False).blocks())
        return [np.asarray(oracle[1]).astype(np.str_), *parts]

    @contextmanager
    def _bar(self) -> Any:
        """Show a progress bar on stderr while training, if asked to."""
        if not self.verbose or callable(self.verbose):
            yield self.verbose or (lambda epoch, total: None)  # noqa: ARG005
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task(f"training {self.head}", total=None)
            yield lambda epoch, total: progress.update(bar, completed=epoch, total=total)

    # ------------------------------------------------------------------ application

    def _outputs(self, clips: Sequences) -> Tensor:
        """Apply the trained module: (n, outputs of the main task)."""
        outputs: Tensor = self._applied(logits, clips)
        return outputs

    def _applied(self, function: Callable[..., Any], clips: Sequences) -> Any:
        """Call ``function(module, clips, batch_size)`` on the device of the settings."""
        check_is_fitted(self, "module_")
        device = resolve_device(self.device)
        try:
            with threads(self.threads), exact_float32():
                return function(self.module_.to(device), clips, self.batch_size)
        finally:
            self.module_.cpu()

    # ------------------------------------------------------------------ storing

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return the weights by name, and all else as a JSON-able card; see `from_state`."""
        check_is_fitted(self, "module_")
        tensors = {k: v.numpy().copy() for k, v in self.module_.state_dict().items()}
        card = {
            "params": _plain(self.get_params(deep=False)),
            "n_features": int(self.n_features_in_),
            "sizes": list(self.sizes_.items()),  # a list: JSON's objects have no order
            "history": self.history_,
            "selected_epoch": self.selected_epoch_,
        }
        return tensors, card

    def _load(self, tensors: Mapping[str, NDArray[Any]], card: Mapping[str, Any]) -> None:
        """Take over stored weights.

        Raises
        ------
        ModelError : the weights are not those of the card's head.
        """
        try:
            resolve_device(self.device)
        except ModelError:  # trained on a GPU that this machine does not have
            self.device = "auto"
        self.n_features_in_ = int(card["n_features"])
        self.sizes_ = {name: int(size) for name, size in card["sizes"]}
        self.history_ = list(card["history"])
        self.selected_epoch_ = int(card["selected_epoch"])
        with own_random_state(torch.device("cpu"), 0):
            module = self._new_module(self.sizes_)
        try:
            module.load_state_dict({k: torch.tensor(v) for k, v in tensors.items()})
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ModelError(
                f"the stored weights do not fit: {reason}",
                where=f"head {self.head}",
                code="wrong-weights",
                fix="store the model again with this version",
            ) from None
        self.module_ = module.eval()
        self.n_parameters_ = _count(module)


# Settings that do not change what is learnt.
_NO_MATTER = {"checkpoint", "every", "verbose", "threads", "device"}


@cache
def _code(package: Path) -> str:
    """SHA-256 of the files that make, train and prepare networks; they change between releases."""
    files = sorted(f for folder in ("heads", "models") for f in (package / folder).glob("*.py"))
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()


def _count(module: nn.Module) -> int:
    """Parameters that some stage of the training may change."""
    return sum(p.numel() for p in module.parameters())


def _plain(value: Any) -> Any:
    """`value` as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value
